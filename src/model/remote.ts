/** Remotes: the places that bases are pulled from (ostree.repo-config(5), `[remote "NAME"]`). */
import { AptOstreeError } from "./errors.ts";

/** How the commits of a remote are verified: by OpenPGP signatures, by signatures of another type such as "ed25519", or not at all. */
export type Verification = "gpg" | "none" | `sign:${string}`;

/** A remote as it is configured. */
export interface Remote {
  readonly name: string;
  /** Without user name and password, which only ostree needs to know. */
  readonly url: string;
  readonly verification: readonly Verification[];
  /** Whether the summary must be signed too. */
  readonly verifiesSummary: boolean;
  /** The refs that a pull without any takes; empty for all of them. */
  readonly branches: readonly string[];
}

/** A ref that a remote has, with the commit that its summary gives for it. */
export interface RemoteRef {
  readonly ref: string;
  readonly commit: string;
}

/** What a remote is made of, or what is to change in one. What is absent stays as it is, or as ostree has it. */
export interface RemoteSettings {
  /** http, https or file, after "metalink=" or "mirrorlist=" where the address is one of those. */
  readonly url?: string;
  readonly branches?: readonly string[];
  /** Whether commits must be signed with OpenPGP; true for a new remote, unless `signKeys` are given. */
  readonly gpgVerify?: boolean;
  readonly gpgVerifySummary?: boolean;
  /** OpenPGP public keys to trust, armoured or not, each in base64. They are added to those that are trusted already. */
  readonly gpgKeys?: readonly string[];
  /** Keys of signatures of other types, of which one must be right. */
  readonly signKeys?: readonly SignKey[];
}

/** A public key for signatures that ostree makes itself (ostree-sign(1)). */
export interface SignKey {
  /** "ed25519", or what else ostree was built with. */
  readonly type: string;
  /** In base64. */
  readonly key: string;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
/** No blanks or controls: the address becomes a line of a key file. */
const URL_FORM = /^(metalink=|mirrorlist=)?(https?|file):\/\/[\x21-\x7e]+$/;
const REF = /^[A-Za-z0-9_][A-Za-z0-9_./-]{0,254}$/;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const MAX_BRANCHES = 100;
const MAX_KEYS = 20;
const MAX_KEY_LENGTH = 512 * 1024;

/** Checks the name of a remote. Throws InvalidRequest. */
export function checkRemoteName(name: string): string {
  if (!NAME.test(name))
    throw new AptOstreeError(
      "InvalidRequest",
      `cannot use ${JSON.stringify(name.slice(0, 80))} as the name of a remote: it has letters, digits, "_", "." and "-"`,
    );
  return name;
}

/** Reads settings from JSON. A key that is not known is refused: an option must not be dropped in silence. Throws InvalidRequest. */
export function parseRemoteSettings(json: string): RemoteSettings {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw invalid("they are not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid("they are not a JSON object");
  const { url, branches, gpgVerify, gpgVerifySummary, gpgKeys, signKeys, ...others } = value as Record<string, unknown>;
  for (const key of Object.keys(others)) throw invalid(`they have the unknown key ${JSON.stringify(key.slice(0, 40))}`);
  return checkRemoteSettings({
    ...(url === undefined ? {} : { url: url as string }),
    ...(branches === undefined ? {} : { branches: branches as string[] }),
    ...(gpgVerify === undefined ? {} : { gpgVerify: gpgVerify as boolean }),
    ...(gpgVerifySummary === undefined ? {} : { gpgVerifySummary: gpgVerifySummary as boolean }),
    ...(gpgKeys === undefined ? {} : { gpgKeys: gpgKeys as string[] }),
    ...(signKeys === undefined ? {} : { signKeys: signKeys as SignKey[] }),
  });
}

/** Checks settings, whatever their types are. Throws InvalidRequest. */
export function checkRemoteSettings(settings: RemoteSettings): RemoteSettings {
  const { url, branches, gpgVerify, gpgVerifySummary, gpgKeys, signKeys } = settings;
  if (url !== undefined && !(typeof url === "string" && url.length <= 2048 && URL_FORM.test(url)))
    throw invalid("the address is not http://…, https://… or file://…, without blanks");
  if (branches !== undefined && !isList(branches, MAX_BRANCHES, (one) => typeof one === "string" && REF.test(one)))
    throw invalid(`the branches are not at most ${MAX_BRANCHES} names of refs`);
  for (const flag of [gpgVerify, gpgVerifySummary]) if (flag !== undefined && typeof flag !== "boolean") throw invalid("a flag is not true or false");
  if (gpgKeys !== undefined && !isList(gpgKeys, MAX_KEYS, isPublicKey)) throw invalid("what is to be trusted is no OpenPGP public key");
  if (signKeys !== undefined && !isList(signKeys, MAX_KEYS, isSignKey)) throw invalid("a key to verify with is not TYPE and a key in base64");
  return settings;
}

function isList(value: unknown, max: number, isRight: (one: unknown) => boolean): boolean {
  return Array.isArray(value) && value.length <= max && value.every(isRight);
}

function isSignKey(value: unknown): boolean {
  const { type, key } = (value ?? {}) as { type?: unknown; key?: unknown };
  return typeof type === "string" && /^[a-z0-9]{1,20}$/.test(type) && typeof key === "string" && key.length <= MAX_KEY_LENGTH && BASE64.test(key);
}

/** Armoured (RFC 9580, 6.2), or packets of which the first is a public key: tag 6, in the old or the new format (4.2). */
function isPublicKey(value: unknown): boolean {
  if (typeof value !== "string" || value.length > MAX_KEY_LENGTH || !BASE64.test(value)) return false;
  const bytes = atob(value);
  const first = bytes.charCodeAt(0);
  return bytes.includes("-----BEGIN PGP PUBLIC KEY BLOCK-----") || (first & 0xfc) === 0x98 || first === 0xc6;
}

function invalid(why: string): AptOstreeError {
  return new AptOstreeError("InvalidRequest", `cannot use the settings of the remote: ${why}`);
}
