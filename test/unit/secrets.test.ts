import { describe, expect, it } from "vitest";
import { formatSecretUnit, HOST_SECRETS, secretOf, secretUnit } from "../../src/model/secrets.ts";

describe("the secrets of a host", () => {
  it.each([
    ["ssh/ssh_host_ed25519_key", "openssh-server"],
    ["ssh/ssh_host_rsa_key.pub", "openssh-server"],
    ["ssl/private/ssl-cert-snakeoil.key", "ssl-cert"],
    ["ssl/certs/ssl-cert-snakeoil.pem", "ssl-cert"],
    ["nvme/hostid", "nvme-cli"],
    ["ssh/sshd_config", undefined],
    ["ssl/certs/ca-certificates.crt", undefined],
  ])("%s is of %s", (path, name) => {
    expect(secretOf(path)?.name).toBe(name);
  });

  it("have commands that a unit takes as they are, and units of their own", () => {
    for (const secret of HOST_SECRETS) {
      expect(secret.command).not.toMatch(/['$%\n]/);
      expect(formatSecretUnit(secret)).toContain(`ExecStart=/bin/sh -c '${secret.command}'\n`);
    }
    expect(new Set(HOST_SECRETS.map(secretUnit)).size).toBe(HOST_SECRETS.length);
  });
});
