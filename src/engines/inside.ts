/**
 * Paths inside a tree that maintainer scripts have had their hands on. A directory there may have become a link to anywhere,
 * and an absolute link would lead our own calls out of the tree, onto the host: so no parent of a path may be a link.
 */
import { constants } from "node:fs";
import { lstat, mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AptOstreeError } from "../model/errors.ts";

/** The path in the tree, or null where one of its parents is not there. Throws LayerInvalid where a parent is not a directory. */
export async function pathInside(tree: string, path: string): Promise<string | null> {
  let directory = tree;
  for (const name of partsOf(dirname(path))) {
    directory = join(directory, name);
    const there = await lstat(directory).catch(() => null);
    if (there === null) return null;
    if (!there.isDirectory()) throw notADirectory(tree, directory);
  }
  return join(tree, path);
}

/** The path in the tree, its parents made where they are missing. Throws LayerInvalid where a parent is not a directory. */
export async function madePathInside(tree: string, path: string): Promise<string> {
  let directory = tree;
  for (const name of partsOf(dirname(path))) {
    directory = join(directory, name);
    const there = await lstat(directory).catch(() => null);
    if (there === null) await mkdir(directory, { mode: 0o755 });
    else if (!there.isDirectory()) throw notADirectory(tree, directory);
  }
  return join(tree, path);
}

const MAX_READ_BYTES = 4 * 1024 * 1024;

/** The text of a regular file of moderate size in the tree; null for anything else, a link, a pipe or a device among them. Throws LayerInvalid. */
export async function readInside(tree: string, path: string, maxBytes = MAX_READ_BYTES): Promise<string | null> {
  const inside = await pathInside(tree, path);
  // To open a device can be to do something with it.
  if (inside === null || (await lstat(inside).catch(() => null))?.isFile() !== true) return null;
  const file = await open(inside, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => null);
  if (file === null) return null;
  try {
    const { size } = await file.stat().then((stats) => (stats.isFile() ? stats : { size: Number.POSITIVE_INFINITY }));
    return size > maxBytes ? null : await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

function notADirectory(tree: string, directory: string): AptOstreeError {
  const path = directory.slice(tree.length);
  return new AptOstreeError("LayerInvalid", `cannot commit the layer: a package made ${path} something else than a directory`, {
    details: { paths: [path] },
  });
}
