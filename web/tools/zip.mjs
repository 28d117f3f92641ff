/**
 * Writes zip archives without compression, always the same bytes for the same files.
 *
 * Source: PKWARE's APPNOTE.TXT, 4.3.
 */

import { crc32 } from "node:zlib";

/** 1980-01-01, the first date that the format knows. */
const DATE = 0x21;

/**
 * @param {readonly {name: string, data: Uint8Array}[]} files names with forward slashes
 * @returns {Buffer}
 */
export function makeZip(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, data } of files) {
    const nameBytes = Buffer.from(name);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0); // version needed: 2.0
    common.writeUInt16LE(0x800, 2); // names are UTF-8
    common.writeUInt16LE(DATE, 8);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(nameBytes.length, 22);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.from("PK\x01\x02\x14\x00", "latin1"), common, tail, nameBytes);
    parts.push(Buffer.from("PK\x03\x04", "latin1"), common, nameBytes, data);
    offset += 30 + nameBytes.length + data.length;
  }
  const listing = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(listing.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, listing, end]);
}
