import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { withoutCredentials } from "../../src/model/credentials.ts";
import { makeRequest, shownRequest, titleOf } from "../../src/model/request.ts";
import { DEFAULT_SCHEDULING } from "../../src/model/transaction.ts";
import { Daemon, ROOT } from "../harness/daemon.ts";

describe("a user name and password in an address", () => {
  it("are taken out, and all else stays", () => {
    for (const [text, shown] of [
      ["http://me:secret@host/x", "http://host/x"],
      ["E: 'https://me@host:8080/a' and \"ftp://u:p@b/c@d\"", "E: 'https://host:8080/a' and \"ftp://b/c@d\""],
      ["mirror+http://u:p%40q@host/", "mirror+http://host/"],
      ["http://a@b:c@host/x", "http://host/x"],
      // WHATWG's parser takes a quote for a part of the password, and so do those who fetch.
      ["https://me:it's@host/x.deb", "https://host/x.deb"],
      ["https://host/~me@home/x?to=me@host#@", "https://host/~me@home/x?to=me@host#@"],
      ["write to me@host, see file:///srv/a@b", "write to me@host, see file:///srv/a@b"],
      ["://@", "://@"],
    ] as const)
      expect(withoutCredentials(text), text).toBe(shown);
  });

  it("are looked for in one pass, however long the text is", () => {
    const long = "a".repeat(2_000_000);
    expect(withoutCredentials(long)).toBe(long);
    expect(withoutCredentials(`http://${long}`)).toBe(`http://${long}`);
    expect(withoutCredentials("a://".repeat(500_000))).toBe("a://".repeat(500_000));
  });
});

describe("a request that names an address with a user name and password", () => {
  const files = ["https://me:secret@host/pool/tool_1_all.deb", "https://me:secret@host/", "https://me:secret@host/?x", "/srv/http://me:x@y/a.deb"];
  const request = makeRequest("install", { packages: ["vim"], files });

  it("has them for whoever fetches, and for nobody else", () => {
    expect(request.files).toEqual([...files].sort());
    expect(shownRequest(request)).toEqual({
      ...request,
      files: ["/srv/http://me:x@y/a.deb", "https://host/", "https://host/?x", "https://host/pool/tool_1_all.deb"],
    });
    expect(shownRequest(makeRequest("upgrade"))).toEqual(makeRequest("upgrade"));
  });

  it("has a title without them", () => {
    expect(titleOf(request)).toBe("install vim a.deb https://host/ https://host/?x tool_1_all.deb");
  });

  it("is refused without them where it is none", () => {
    expect(() => makeRequest("install", { files: ["https://me:secret@host"] })).toThrow('cannot install: "https://host" is neither');
  });

  it("is shown without them from its first event to the journal's last word", async () => {
    const directory = mkdtempSync(join(tmpdir(), "credentials-"));
    const daemon = await Daemon.start(directory);
    try {
      const fetched = new Set<string>();
      const shown: unknown[] = [];
      daemon.engines.behave = async (_stage, input) => {
        for (const file of input.request.files ?? []) fetched.add(file);
        shown.push(daemon.scheduler.status(), await daemon.scheduler.transactions(10));
        return undefined;
      };
      const id = await daemon.scheduler.submit(request, ROOT, DEFAULT_SCHEDULING);
      shown.push(await daemon.ended(id), await daemon.scheduler.transactions(10), daemon.eventsOf(id));
      const text = JSON.stringify(shown);
      expect(text).toContain("https://host/pool/tool_1_all.deb");
      expect(text).not.toContain("secret");
      expect([...fetched].sort()).toEqual(request.files);
      expect((await daemon.journal.transaction(id))?.row.request.files).toEqual(request.files);
    } finally {
      await daemon.kill();
      rmSync(directory, { recursive: true });
    }
  });
});
