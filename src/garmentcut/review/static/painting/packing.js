/**
 * Bytes in runs, as in PackBits (Apple, 1984; TIFF 6.0, section 9): a head of 0 to 127 announces that many bytes and
 * one, as they are; a head of 129 to 255 repeats the next byte 257 - head times.
 */

const LONGEST = 128;

/**
 * @param {Uint8Array} bytes
 * @returns {Uint8Array}
 */
export function pack(bytes) {
  const packed = new Uint8Array(bytes.length + Math.ceil(bytes.length / LONGEST));
  let size = 0;
  let literal = 0; // where the bytes that do not repeat began
  let i = 0;
  const flush = () => {
    for (; literal < i; ) {
      const count = Math.min(LONGEST, i - literal);
      packed[size++] = count - 1;
      packed.set(bytes.subarray(literal, literal + count), size);
      size += count;
      literal += count;
    }
  };
  while (i < bytes.length) {
    let run = 1;
    while (run < LONGEST && bytes[i + run] === bytes[i]) run++;
    if (run < 3) {
      i += run;
      continue;
    }
    flush();
    packed[size++] = 257 - run;
    packed[size++] = bytes[i];
    i += run;
    literal = i;
  }
  flush();
  return packed.slice(0, size);
}

/**
 * @param {Uint8Array} packed
 * @param {number} length of what was packed
 * @returns {Uint8Array}
 */
export function unpack(packed, length) {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (let i = 0; i < packed.length; ) {
    const head = packed[i++];
    if (head < 128) {
      bytes.set(packed.subarray(i, i + head + 1), at);
      i += head + 1;
      at += head + 1;
    } else {
      bytes.fill(packed[i++], at, at + 257 - head);
      at += 257 - head;
    }
  }
  return bytes;
}
