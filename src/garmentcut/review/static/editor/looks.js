import { boxOfTile, tilesUnder } from "../painting/history.js";
import { decodeGray, within } from "../painting/plane.js";

/**
 * Ways to show a cutout: on a background, with an overlay, as a mask, by its outline, with the model's doubt as colour.
 *
 * `ground` is the background colour, `other` a second one for a checkerboard; `strength` is how strongly the background
 * covers what is cut away. The mask has no `ground`: it shows the alpha itself.
 *
 * @import { Plane, Rectangle } from "../painting/plane.js"
 * @typedef {{pixels: Uint8ClampedArray, alpha: Plane}} Picture RGBA
 * @typedef {number[] | ((picture: Picture) => number[])} Ground R, G, B
 * @typedef {{name: string, label: string, ground?: Ground, other?: number[], strength?: number, outline?: boolean}} Look
 */

/** @type {Look[]} */
export const LOOKS = [
  { name: "checks", label: "Checkerboard", ground: [204, 204, 204], other: [158, 158, 158] },
  { name: "color", label: "Strong colour", ground: [0, 177, 64] },
  { name: "contrast", label: "Colour that contrasts with the garment", ground: contrastOf },
  { name: "own", label: "Own colour", ground: [128, 128, 128] },
  { name: "white", label: "White", ground: [255, 255, 255] },
  { name: "black", label: "Black", ground: [0, 0, 0] },
  { name: "overlay", label: "Red overlay", ground: [230, 0, 0], strength: 0.6 },
  { name: "outline", label: "Outline", ground: [0, 0, 0], strength: 0, outline: true },
  { name: "mask", label: "Mask" },
];

/** The photo as it was taken. @type {Look} */
export const PHOTO_LOOK = { name: "photo", label: "Photo", ground: [0, 0, 0], strength: 0 };

const CONTRASTS = [[255, 255, 255], [0, 0, 0], [0, 177, 64], [230, 0, 180], [0, 90, 255], [255, 140, 0], [0, 200, 220], [255, 225, 0]];
const EVERY = 61; // every 61st pixel is used to find the contrasting colour

/** How far around a pixel its colour depends on the alpha. */
export const EDGE_REACH_PX = 3;

const OFFSETS = [-3, -1, 1, 3];
const SQUARE_BITS = 4; // squares of 16 pixels
const HALF = 127.5;
const own = new Float32Array(3); // the pixel's own colour

/** The colour farthest from those of the garment and of the backdrop, because a fringe is a mixture of both. @param {Picture} picture */
function contrastOf({ pixels, alpha }) {
  const likeness = CONTRASTS.map(([red, green, blue]) => {
    const [sums, counts] = [[0, 0], [1, 1]];
    for (let i = 0; i < alpha.data.length; i += EVERY) {
      const [r, g, b] = [pixels[i * 4] - red, pixels[i * 4 + 1] - green, pixels[i * 4 + 2] - blue];
      const isGarment = alpha.data[i] >> 7;
      sums[isGarment] += 1 / (2000 + 2 * r * r + 4 * g * g + 3 * b * b); // roughly the eye's sensitivity
      counts[isGarment]++;
    }
    return sums[0] / counts[0] + sums[1] / counts[1];
  });
  return CONTRASTS[likeness.indexOf(Math.min(...likeness))];
}

/** Write the pixels of a look, whose `ground` must be a colour, into the box in `data`. `photo` and `data` are RGBA of the whole photo. */
export function shade(look, photo, alpha, { data, box }) {
  const { ground, other = ground, strength = 1 } = look;
  // Nearly all pixels are entirely garment or entirely background: those are copied, four bytes at a time.
  const source = new Uint32Array(photo.buffer, photo.byteOffset, photo.length / 4);
  const target = new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
  const [plain, plainOther] = [ground, other].map((color) => new Uint32Array(Uint8Array.of(...(color ?? [0, 0, 0]), 255).buffer)[0]);
  for (let y = box.y0; y < box.y1; y++) {
    for (let x = box.x0, i = y * alpha.width + x; x < box.x1; x++, i++) {
      const value = alpha.data[i];
      const isOther = ((x ^ y) >> SQUARE_BITS) & 1;
      if (!ground || !other) target[i] = 0xff000000 | (value * 0x010101);
      else if (value === 255 || strength === 0) target[i] = source[i];
      else if (value === 0 && strength === 1) target[i] = isOther ? plainOther : plain;
      else if (strength < 1) mix(data, i * 4, photo, i * 4, ground, (1 - value / 255) * strength);
      else {
        edgeColor(photo, alpha, x, y);
        mix(data, i * 4, own, 0, isOther ? other : ground, 1 - value / 255);
      }
    }
  }
}

/** Write a colour, found at `q`, with a share of another. @param {Uint8ClampedArray} data @param {number} p @param {ArrayLike<number>} from @param {number} q @param {number[]} to @param {number} share */
function mix(data, p, from, q, to, share) {
  data[p] = from[q] + (to[0] - from[q]) * share;
  data[p + 1] = from[q + 1] + (to[1] - from[q + 1]) * share;
  data[p + 2] = from[q + 2] + (to[2] - from[q + 2]) * share;
  data[p + 3] = 255;
}

/**
 * Write the garment's own colour at a mixed pixel into `own`, so that an edge is shown as it will be delivered: a light
 * fringe that `cut` removes anyway is no reason to choke.
 *
 * One pass, over sixteen neighbouring pixels, of the blur fusion that garmentcut.photo.compose does in two (M. Forte,
 * "Approximate Fast Foreground Colour Estimation", ICIP 2021, equation 4); weights are squared, so that nearly opaque
 * pixels, whose colour is the garment's, count most.
 */
function edgeColor(photo, { width, height, data }, x, y) {
  const garment = [0, 0, 0, 0]; // R, G, B and weight
  const behind = [0, 0, 0, 0];
  for (const dy of OFFSETS) {
    const row = Math.min(height - 1, Math.max(0, y + dy)) * width;
    for (const dx of OFFSETS) {
      const i = row + Math.min(width - 1, Math.max(0, x + dx));
      add(garment, photo, i * 4, data[i] * data[i]);
      add(behind, photo, i * 4, (255 - data[i]) * (255 - data[i]));
    }
  }
  const i = y * width + x;
  const share = data[i] / 255;
  for (let k = 0; k < 3; k++) {
    const seen = photo[i * 4 + k];
    const cloth = garment[3] ? garment[k] / garment[3] : seen;
    const wall = behind[3] ? behind[k] / behind[3] : seen;
    own[k] = Math.min(255, Math.max(0, cloth + share * (seen - share * cloth - (1 - share) * wall)));
  }
}

function add(sum, photo, p, weight) {
  sum[0] += photo[p] * weight;
  sum[1] += photo[p + 1] * weight;
  sum[2] += photo[p + 2] * weight;
  sum[3] += weight;
}

/** The current cutout as a PNG file, with the garment's own colours. @param {Picture} picture @returns {Promise<Blob>} */
export function cutoutOf({ pixels, alpha }) {
  const canvas = new OffscreenCanvas(alpha.width, alpha.height);
  const image = new ImageData(pixels.slice(), alpha.width);
  alpha.data.forEach((value, i) => {
    image.data[i * 4 + 3] = value;
    if (value === 0 || value === 255) return;
    edgeColor(pixels, alpha, i % alpha.width, Math.floor(i / alpha.width));
    image.data.set(own, i * 4);
  });
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas.convertToBlob();
}

/** The outline at alpha one half, between pixels; cached by tiles, because strokes change few of them. */
export class Outline {
  /** @type {Map<number, Path2D>} */
  #paths = new Map();

  constructor(alpha) {
    this.alpha = alpha;
  }

  /** @param {Rectangle} box in which the alpha changed */
  forget(box) {
    const wider = within(box, this.alpha, 1);
    if (wider) for (const index of tilesUnder(this.alpha, wider)) this.#paths.delete(index);
  }

  /** @param {CanvasRenderingContext2D} drawing clipped to what is to be drawn @param {Rectangle} box pixels of the photo in sight */
  draw(drawing, { scale, left, top }, box) {
    const all = new Path2D();
    for (const index of tilesUnder(this.alpha, box)) {
      const path = this.#paths.get(index) ?? trace(this.alpha, boxOfTile(this.alpha, index));
      this.#paths.set(index, path);
      all.addPath(path);
    }
    drawing.setTransform(scale, 0, 0, scale, left, top);
    drawing.lineCap = "round";
    strokeTwice(drawing, all, scale);
    drawing.resetTransform();
  }
}

/** Draw a line that is visible on any background: dark below, light above. @param {CanvasRenderingContext2D} drawing @param {Path2D} path @param {number} [scale] of the drawing */
export function strokeTwice(drawing, path, scale = 1) {
  for (const [width, color] of [[3, "rgb(0 0 0 / 65%)"], [1.25, "#fff"]]) {
    drawing.lineWidth = (width * devicePixelRatio) / scale;
    drawing.strokeStyle = color;
    drawing.stroke(path);
  }
}

/** Marching squares between the middles of pixels. @param {Plane} alpha @param {Rectangle} box @returns {Path2D} in pixels of the photo */
function trace({ width, height, data }, box) {
  const path = new Path2D();
  const right = Math.min(box.x1, width - 1);
  const lower = Math.min(box.y1, height - 1);
  for (let y = box.y0; y < lower; y++) {
    for (let x = box.x0, i = y * width + x; x < right; x++, i++) {
      const isIn = data[i] > HALF;
      if (isIn === data[i + 1] > HALF && isIn === data[i + width + 1] > HALF && isIn === data[i + width] > HALF) continue;
      addCell(path, [data[i], data[i + 1], data[i + width + 1], data[i + width]], x + 0.5, y + 0.5);
    }
  }
  return path;
}

/** Join the crossings of a cell's four sides, two by two. @param {Path2D} path @param {number[]} corners @param {number} x @param {number} y */
function addCell(path, corners, x, y) {
  const inside = corners.map((value) => value > HALF);
  const share = (from, to) => (HALF - corners[from]) / (corners[to] - corners[from]);
  const crossings = [];
  if (inside[0] !== inside[1]) crossings.push([x + share(0, 1), y]);
  if (inside[1] !== inside[2]) crossings.push([x + 1, y + share(1, 2)]);
  if (inside[3] !== inside[2]) crossings.push([x + share(3, 2), y + 1]);
  if (inside[0] !== inside[3]) crossings.push([x, y + share(0, 3)]);
  for (let k = 0; k + 1 < crossings.length; k += 2) {
    path.moveTo(crossings[k][0], crossings[k][1]);
    path.lineTo(crossings[k + 1][0], crossings[k + 1][1]);
  }
}

/**
 * The model's doubt as an overlay for the photo: clear where it is sure, then yellow, then red.
 *
 * @param {Blob} blob gray, 255 for the greatest doubt
 */
export async function drawHeat(blob) {
  const { width, height, data } = await decodeGray(blob);
  const canvas = new OffscreenCanvas(width, height);
  const drawing = canvas.getContext("2d");
  const pixels = drawing.createImageData(width, height);
  for (let i = 0, p = 0; i < data.length; i++, p += 4) {
    pixels.data[p] = 255;
    pixels.data[p + 1] = Math.min(220, 476 - 2 * data[i]);
    pixels.data[p + 3] = Math.min(210, data[i] * 1.6);
  }
  drawing.putImageData(pixels, 0, 0);
  return canvas;
}
