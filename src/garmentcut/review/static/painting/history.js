import { copyPlane, cropPlane } from "./plane.js";
import { pack, unpack } from "./packing.js";
import { unite } from "./rectangle.js";
import { boxOfTile, copyBox, differ, tilesUnder } from "./tiles.js";

/**
 * @typedef {import("./plane.js").Plane} Plane
 * @typedef {import("./rectangle.js").Rectangle} Rectangle
 * @typedef {{label: string, tiles: {index: number, packed: Uint8Array}[]}} Step what a change replaced
 */

/**
 * Undo and redo without limit: each step holds the packed tiles it replaced, and nothing else.
 *
 * Tools write into `plane`, read what stood there before from `settled`, and end with `commit`.
 */
export class History {
  /** @param {Plane} plane */
  constructor(plane) {
    this.plane = plane;
    /** The plane as it was after the last step. */
    this.settled = copyPlane(plane);
    /** @type {Step[]} */
    this.done = [];
    /** @type {Step[]} */
    this.undone = [];
  }

  /** Bytes held by all steps. */
  get bytes() {
    return [...this.done, ...this.undone].flatMap((step) => step.tiles).reduce((sum, tile) => sum + tile.packed.length, 0);
  }

  /**
   * Make what was painted into a step.
   *
   * @param {string} label what was done, for the message after undo
   * @param {Rectangle | null} box where
   * @returns {Step | null} null if nothing changed
   */
  commit(label, box) {
    const changed = box ? tilesUnder(this.plane, box).filter((index) => this.#differs(index)) : [];
    if (!changed.length) return null;
    const step = { label, tiles: changed.map((index) => this.#keep(index)) };
    this.done.push(step);
    this.undone = [];
    return step;
  }

  /** Drop what was painted since the last step. @param {Rectangle} box where */
  revert(box) {
    copyBox(this.settled, this.plane, box);
  }

  /** @returns {{label: string, box: Rectangle} | null} what was undone, null if there was nothing */
  undo() {
    return this.#move(this.done, this.undone);
  }

  /** @returns {{label: string, box: Rectangle} | null} */
  redo() {
    return this.#move(this.undone, this.done);
  }

  /** @param {Step[]} from @param {Step[]} to */
  #move(from, to) {
    const step = from.pop();
    if (!step) return null;
    to.push({ label: step.label, tiles: step.tiles.map((tile) => this.#swap(tile)) });
    /** @type {(Rectangle | null)[]} */
    const boxes = step.tiles.map((tile) => boxOfTile(this.plane, tile.index));
    return { label: step.label, box: /** @type {Rectangle} */ (boxes.reduce(unite, null)) };
  }

  /** @param {number} index */
  #differs(index) {
    return differ(this.plane, this.settled, boxOfTile(this.plane, index));
  }

  /** Pack what a tile held before, and settle what it holds now. @param {number} index */
  #keep(index) {
    const box = boxOfTile(this.plane, index);
    const packed = pack(cropPlane(this.settled, box).data);
    copyBox(this.plane, this.settled, box);
    return { index, packed };
  }

  /** @param {{index: number, packed: Uint8Array}} tile */
  #swap({ index, packed }) {
    putTile(this.plane, index, packed);
    return this.#keep(index);
  }
}

/**
 * Unpack a tile into its place.
 *
 * @param {Plane} plane
 * @param {number} index
 * @param {Uint8Array} packed
 */
export function putTile(plane, index, packed) {
  const box = boxOfTile(plane, index);
  const width = box.x1 - box.x0;
  const bytes = unpack(packed, width * (box.y1 - box.y0));
  for (let y = box.y0; y < box.y1; y++) {
    plane.data.set(bytes.subarray((y - box.y0) * width, (y - box.y0 + 1) * width), y * plane.width + box.x0);
  }
}

/**
 * Packed tiles in which a plane differs from another: all that must be kept to have it again.
 *
 * @param {Plane} plane
 * @param {Plane} from
 * @returns {{index: number, packed: Uint8Array}[]}
 */
export function tilesOfDifference(plane, from) {
  const all = tilesUnder(plane, { x0: 0, y0: 0, x1: plane.width, y1: plane.height });
  return all
    .filter((index) => differ(plane, from, boxOfTile(plane, index)))
    .map((index) => ({ index, packed: pack(cropPlane(plane, boxOfTile(plane, index)).data) }));
}
