import { rimColor } from "./rim-color.js";

/**
 * @typedef {import("../painting/plane.js").Plane} Plane
 * @typedef {import("../painting/rectangle.js").Rectangle} Rectangle
 * @typedef {{name: string, label: string, ground?: number[], other?: number[], strength?: number, outline?: boolean}} Look
 */

/**
 * Ways to look at a cutout. `ground` is the colour behind it, `other` makes squares with it; `strength` is how much of
 * what is cut away gets the ground's colour. The mask has no ground: it shows the alpha itself.
 *
 * @type {Look[]}
 */
export const LOOKS = [
  { name: "checks", label: "Checkerboard", ground: [204, 204, 204], other: [158, 158, 158] },
  { name: "color", label: "Strong colour", ground: [0, 177, 64] },
  { name: "white", label: "White", ground: [255, 255, 255] },
  { name: "black", label: "Black", ground: [0, 0, 0] },
  { name: "overlay", label: "Red overlay", ground: [230, 0, 0], strength: 0.6 },
  { name: "outline", label: "Outline", ground: [0, 0, 0], strength: 0, outline: true },
  { name: "mask", label: "Mask", },
];

/** The photo as it was taken. @type {Look} */
export const PHOTO_LOOK = { name: "photo", label: "Photo", ground: [0, 0, 0], strength: 0 };

const SQUARE_BITS = 4; // squares of 16 pixels
const own = new Float32Array(3); // the pixel's own colour

/**
 * Compute the pixels of a look.
 *
 * @param {Look} look
 * @param {Uint8ClampedArray} photo RGBA
 * @param {Plane} alpha
 * @param {{data: Uint8ClampedArray, box: Rectangle}} target RGBA of the whole photo, and the part to write
 */
export function shade(look, photo, alpha, { data, box }) {
  if (!look.ground) shadeMask(alpha, data, box);
  else if (look.strength === undefined) shadeCutout(look, photo, alpha, { data, box });
  else shadeVeil(look.ground, look.strength, { photo, alpha, data, box });
}

/** The garment on a ground. @param {Look} look @param {Uint8ClampedArray} photo @param {Plane} alpha @param {{data: Uint8ClampedArray, box: Rectangle}} target */
function shadeCutout({ ground = [], other = ground }, photo, alpha, { data, box }) {
  // Nearly all pixels are wholly garment or wholly not: those are copied, four bytes at a time.
  const source = new Uint32Array(photo.buffer, photo.byteOffset, photo.length / 4);
  const target = new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
  const [plain, plainOther] = [ground, other].map((color) => new Uint32Array(Uint8Array.of(...color, 255).buffer)[0]);
  for (let y = box.y0; y < box.y1; y++) {
    for (let x = box.x0, i = y * alpha.width + x; x < box.x1; x++, i++) {
      const value = alpha.data[i];
      const isOther = ((x ^ y) >> SQUARE_BITS) & 1;
      if (value === 255) target[i] = source[i];
      else if (value === 0) target[i] = isOther ? plainOther : plain;
      else {
        rimColor(photo, alpha, { x, y }, own);
        lay(data, i * 4, isOther ? other : ground, 1 - value / 255);
      }
    }
  }
}

/** Write the pixel's own colour, with a share of the ground's. @param {Uint8ClampedArray} data @param {number} p @param {number[]} ground @param {number} share */
function lay(data, p, ground, share) {
  data[p] = own[0] + (ground[0] - own[0]) * share;
  data[p + 1] = own[1] + (ground[1] - own[1]) * share;
  data[p + 2] = own[2] + (ground[2] - own[2]) * share;
  data[p + 3] = 255;
}

/**
 * The photo, with a colour laid over what is cut away.
 *
 * @param {number[]} color
 * @param {number} strength
 * @param {{photo: Uint8ClampedArray, alpha: Plane, data: Uint8ClampedArray, box: Rectangle}} planes
 */
function shadeVeil([red, green, blue], strength, { photo, alpha, data, box }) {
  for (let y = box.y0; y < box.y1; y++) {
    for (let x = box.x0, i = y * alpha.width + x, p = i * 4; x < box.x1; x++, i++, p += 4) {
      const share = ((255 - alpha.data[i]) * strength) / 255;
      data[p] = photo[p] + (red - photo[p]) * share;
      data[p + 1] = photo[p + 1] + (green - photo[p + 1]) * share;
      data[p + 2] = photo[p + 2] + (blue - photo[p + 2]) * share;
      data[p + 3] = 255;
    }
  }
}

/** @param {Plane} alpha @param {Uint8ClampedArray} data @param {Rectangle} box */
function shadeMask(alpha, data, box) {
  for (let y = box.y0; y < box.y1; y++) {
    for (let x = box.x0, i = y * alpha.width + x, p = i * 4; x < box.x1; x++, i++, p += 4) {
      data[p] = data[p + 1] = data[p + 2] = alpha.data[i];
      data[p + 3] = 255;
    }
  }
}
