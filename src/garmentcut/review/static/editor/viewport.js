/**
 * @typedef {{x: number, y: number}} Point
 * @typedef {{width: number, height: number}} Size
 * @typedef {import("../painting/rectangle.js").Rectangle} Rectangle
 */

const LARGEST = 32;
const SMALLEST = 0.02;
const MARGIN = 24; // pixels around a photo that fits

/**
 * Where the photo stands on the canvas. All in device pixels: at scale 1 a pixel of the photo is a pixel of the screen.
 */
export class Viewport {
  constructor() {
    this.scale = 1;
    this.left = 0;
    this.top = 0;
    /** @type {Size} of the canvas */
    this.screen = { width: 1, height: 1 };
    /** @type {Size} */
    this.photo = { width: 1, height: 1 };
    /** Where the garment is, if there is one. @type {Rectangle | null} */
    this.garment = null;
    /** What follows the size of the window, until somebody zooms or moves. @type {"garment" | "photo" | ""} */
    this.fits = "garment";
    /** What is fitted when the next photo is opened. @type {"garment" | "photo"} */
    this.habit = "garment";
  }

  /** @param {Size} screen */
  resize(screen) {
    const middle = this.toPhoto({ x: this.screen.width / 2, y: this.screen.height / 2 });
    this.screen = screen;
    if (this.fits) this.fit(this.fits);
    else this.#place(this.scale, middle, { x: screen.width / 2, y: screen.height / 2 });
  }

  /**
   * The whole photo, or the garment; never enlarged by a fraction, which would make its pixels uneven.
   *
   * @param {"garment" | "photo"} what
   */
  fit(what) {
    const { screen, photo, garment } = this;
    const box = (what === "garment" && garment) || { x0: 0, y0: 0, x1: photo.width, y1: photo.height };
    const scale = Math.min((screen.width - 2 * MARGIN) / (box.x1 - box.x0), (screen.height - 2 * MARGIN) / (box.y1 - box.y0));
    const whole = scale >= 1 ? Math.min(LARGEST, Math.floor(scale)) : Math.max(scale, SMALLEST);
    this.#place(whole, { x: (box.x0 + box.x1) / 2, y: (box.y0 + box.y1) / 2 }, { x: screen.width / 2, y: screen.height / 2 });
    this.fits = this.habit = what;
  }

  /** @param {number} scale @param {Point} [anchor] on the canvas; stays where it is */
  zoomTo(scale, anchor = { x: this.screen.width / 2, y: this.screen.height / 2 }) {
    const bounded = Math.min(LARGEST, Math.max(SMALLEST, scale));
    this.#place(bounded, this.toPhoto(anchor), anchor);
    this.fits = "";
  }

  /** @param {number} dx @param {number} dy */
  pan(dx, dy) {
    this.left = this.#inReach(this.left + dx, this.photo.width, this.screen.width);
    this.top = this.#inReach(this.top + dy, this.photo.height, this.screen.height);
    this.fits = "";
  }

  /** @param {Point} point on the canvas @returns {Point} */
  toPhoto({ x, y }) {
    return { x: (x - this.left) / this.scale, y: (y - this.top) / this.scale };
  }

  /** @param {Point} point in the photo @returns {Point} */
  toScreen({ x, y }) {
    return { x: x * this.scale + this.left, y: y * this.scale + this.top };
  }

  /** Whole pixels of the canvas that show these pixels of the photo. @param {Rectangle} box @returns {Rectangle} */
  boxOnScreen(box) {
    const start = this.toScreen({ x: box.x0, y: box.y0 });
    const end = this.toScreen({ x: box.x1, y: box.y1 });
    return { x0: Math.floor(start.x), y0: Math.floor(start.y), x1: Math.ceil(end.x), y1: Math.ceil(end.y) };
  }

  /** @param {number} scale @param {Point} point in the photo @param {Point} anchor on the canvas, where it shall be */
  #place(scale, point, anchor) {
    this.scale = scale;
    this.left = this.#inReach(anchor.x - point.x * scale, this.photo.width, this.screen.width);
    this.top = this.#inReach(anchor.y - point.y * scale, this.photo.height, this.screen.height);
  }

  /** Whole pixels, and a part of the photo always in sight. @param {number} start @param {number} length @param {number} room */
  #inReach(start, length, room) {
    const least = Math.min(room, length * this.scale) / 4;
    return Math.round(Math.min(room - least, Math.max(least - length * this.scale, start)));
  }
}
