// crc32(buffer, start): zlib's CRC-32, which this version of Node does not give out.
'use strict';
const TABLE = new Uint32Array(256).map((_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

exports.crc32 = (data, start = 0) => {
  let crc = ~start;
  for (let i = 0; i < data.length; i++) crc = TABLE[(crc ^ data[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
};
