/** Python's bytecode in a tree that is to be committed. */
import { open } from "node:fs/promises";
import { exec } from "./exec.ts";

const HEADER_BYTES = 16;

/**
 * Python compares the source's time with the one in the header of its bytecode (PEP 552), and in a checkout all times are 0:
 * zero there, too, or every module would be compiled at every start. For directories whose files may be written.
 */
export async function unstampBytecode(directories: readonly string[]): Promise<void> {
  const { stdout } = await exec("find", [...directories, "-type", "f", "-name", "*.pyc", "-print0"]);
  for (const path of stdout.split("\0").filter((name) => name !== "")) {
    const file = await open(path, "r+");
    try {
      const header = Buffer.alloc(HEADER_BYTES);
      const { bytesRead } = await file.read(header, 0, HEADER_BYTES, 0);
      if (bytesRead === HEADER_BYTES && header.readUInt32LE(4) === 0) await file.write(Buffer.alloc(4), 0, 4, 8);
    } finally {
      await file.close();
    }
  }
}
