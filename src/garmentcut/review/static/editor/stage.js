import { garmentIn, unite, wholeOf, within } from "../painting/plane.js";
import { EDGE_REACH_PX, LOOKS, Outline, PHOTO_LOOK, shade, strokeTwice } from "./looks.js";

/**
 * The canvas: the photo's position on it, and painting once per frame.
 *
 * @import { Plane, Point, Rectangle, Size } from "../painting/plane.js"
 * @import { OpenPhoto } from "./photo.js"
 * @typedef {{scale: number, left: number, top: number}} View where the photo's corner is on the canvas
 * @typedef {{share: number, before: Plane | null}} Split `share` of the canvas's width; before: an alpha, or null: the photo
 */

const LARGEST = 32;
const SMALLEST = 0.02;
const MARGIN = 24; // pixels around a photo that fits
const LOUPE = { radius: 110, scale: 4 }; // radius in CSS pixels
const SQUARES = 4; // from this scale on, and at smaller integer scales, pixels are drawn as squares
const LEVELS = 4; // the photo, a half, a quarter, an eighth

/** The photo's position on the canvas in device pixels: at scale 1 a pixel of the photo is a pixel of the screen. */
export class Viewport {
  scale = 1;
  left = 0;
  top = 0;
  screen = { width: 1, height: 1 }; // the canvas
  photo = { width: 1, height: 1 };
  /** The garment's box, if there is one. @type {Rectangle | null} */
  garment = null;
  /** What is fitted to the window, until the user zooms or moves the photo. @type {"garment" | "photo" | ""} */
  fits = "garment";
  /** What is fitted when the next photo is opened. @type {"garment" | "photo"} */
  habit = "garment";

  resize(screen) {
    const middle = this.toPhoto(middleOf(this.screen));
    this.screen = screen;
    if (this.fits) this.fit(this.fits);
    else this.#place(this.scale, middle, middleOf(screen));
  }

  /** Fit the whole photo or the garment. @param {"garment" | "photo"} what */
  fit(what) {
    const { screen, photo, garment } = this;
    const box = (what === "garment" && garment) || wholeOf(photo);
    const scale = Math.min((screen.width - 2 * MARGIN) / (box.x1 - box.x0), (screen.height - 2 * MARGIN) / (box.y1 - box.y0));
    this.#place(Math.min(LARGEST, Math.max(SMALLEST, scale)), { x: (box.x0 + box.x1) / 2, y: (box.y0 + box.y1) / 2 }, middleOf(screen));
    this.fits = this.habit = what;
  }

  /** @param {number} scale @param {Point} [anchor] on the canvas; stays where it is */
  zoomTo(scale, anchor = middleOf(this.screen)) {
    this.#place(Math.min(LARGEST, Math.max(SMALLEST, scale)), this.toPhoto(anchor), anchor);
    this.fits = "";
  }

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

  /** @param {number} scale @param {Point} point in the photo @param {Point} anchor on the canvas, where it shall be */
  #place(scale, point, anchor) {
    this.scale = scale;
    this.left = this.#inReach(anchor.x - point.x * scale, this.photo.width, this.screen.width);
    this.top = this.#inReach(anchor.y - point.y * scale, this.photo.height, this.screen.height);
  }

  /** Round to whole pixels, and keep a part of the photo in sight. @param {number} start @param {number} length @param {number} room */
  #inReach(start, length, room) {
    const least = Math.min(room, length * this.scale) / 4;
    return Math.round(Math.min(room - least, Math.max(least - length * this.scale, start)));
  }
}

function middleOf({ width, height }) {
  return { x: width / 2, y: height / 2 };
}

/**
 * A picture with smaller copies of itself, updated where it changes, so that small views are smooth, and painting in
 * them costs no more than at 100 %.
 */
export class Pyramid {
  pixels = new ImageData(1, 1);
  levels = Array.from({ length: LEVELS }, () => new OffscreenCanvas(1, 1));
  drawings = this.levels.map((level) => level.getContext("2d", { alpha: false }));

  /** Prepare for a picture of this size. @param {Size} size */
  resize({ width, height }) {
    if (this.pixels.width === width && this.pixels.height === height) return;
    this.pixels = new ImageData(width, height);
    this.levels.forEach((level, k) => {
      level.width = Math.ceil(width / 2 ** k);
      level.height = Math.ceil(height / 2 ** k);
      this.drawings[k].imageSmoothingEnabled = true;
    });
  }

  /** Copy `pixels` to the canvases. @param {Rectangle} [box] what changed in them; all, if none is given */
  update(box = wholeOf(this.pixels)) {
    this.drawings[0].putImageData(this.pixels, 0, 0, box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0);
    let { x0, y0, x1, y1 } = box;
    for (let k = 1; k < LEVELS; k++) {
      const [from, to] = [this.levels[k - 1], this.levels[k]];
      // Aligned with pixels of the smaller copy, each of which is a pair of the larger one.
      [x0, y0] = [Math.floor(x0 / 2), Math.floor(y0 / 2)];
      [x1, y1] = [Math.min(to.width, Math.ceil(x1 / 2)), Math.min(to.height, Math.ceil(y1 / 2))];
      const width = Math.min(2 * x1, from.width) - 2 * x0;
      const height = Math.min(2 * y1, from.height) - 2 * y0;
      this.drawings[k].drawImage(from, 2 * x0, 2 * y0, width, height, x0, y0, width / 2, height / 2);
    }
  }

  /** @param {CanvasRenderingContext2D} drawing clipped to what is to be drawn @param {View} view */
  draw(drawing, { scale, left, top }) {
    const k = Math.min(LEVELS - 1, Math.max(0, Math.floor(Math.log2(1 / scale) + 0.01)));
    drawing.imageSmoothingEnabled = scale < 1 || (scale < SQUARES && !Number.isInteger(scale)); // pixels of uneven size would look like a jagged edge
    drawing.setTransform(scale * 2 ** k, 0, 0, scale * 2 ** k, left, top);
    drawing.drawImage(this.levels[k], 0, 0);
    drawing.resetTransform();
  }
}

/** Paints what changed, once per frame. */
export class Stage {
  viewport = new Viewport();
  now = new Pyramid();
  earlier = new Pyramid();
  photo = null;
  look = LOOKS[0];
  split = null;
  /** @type {OffscreenCanvas | null} */
  heat = null;
  /** Draws a tool's own lines last, over everything else. @type {(drawing: CanvasRenderingContext2D) => void} */
  overlay = () => undefined;
  /** Called when the photo was moved or zoomed, or the canvas has changed. @type {() => void} */
  onview = () => undefined;
  /** Pixels of the photo whose alpha changed. @type {Rectangle | null} */
  #changed = null;
  /** Pixels of the canvas to paint. @type {Rectangle | null} */
  #stale = null;
  #frame = 0;
  #hasLoupe = false;
  /** Where the pointer is on the canvas. @type {Point | null} */
  spot = null;
  /** The look, with the background colour for this photo. */
  #shown = this.look;
  #outline = null;

  constructor(canvas) {
    this.canvas = canvas;
    this.drawing = canvas.getContext("2d", { alpha: false });
    new ResizeObserver(([entry]) => this.#resize(entry)).observe(canvas);
    canvas.addEventListener("pointermove", ({ offsetX: x, offsetY: y }) => this.#point({ x: x * devicePixelRatio, y: y * devicePixelRatio }));
    canvas.addEventListener("pointerleave", () => this.#point(null));
    matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => this.redraw());
  }

  /** Show a loupe at the pointer, or none. @returns {boolean} */
  turnLoupe() {
    this.#hasLoupe = !this.#hasLoupe;
    this.viewChanged();
    return this.#hasLoupe;
  }

  /** Device pixels per pixel of the photo at the pointer. */
  get scaleAtPointer() {
    const { scale } = this.viewport;
    return this.#hasLoupe ? Math.max(LOUPE.scale * devicePixelRatio, 2 * scale) : scale;
  }

  #point(spot) {
    for (const place of [this.spot, spot]) if (this.#hasLoupe && place) this.redraw(this.#loupeBox(place));
    this.spot = spot;
  }

  #loupeBox({ x, y }) {
    return within({ x0: x, y0: y, x1: x, y1: y }, this.canvas, (LOUPE.radius + 3) * devicePixelRatio);
  }

  /** Set the canvas's size to its size in device pixels. @param {ResizeObserverEntry} entry */
  #resize({ devicePixelContentBoxSize: sizes, contentRect }) {
    this.canvas.width = sizes?.[0]?.inlineSize ?? Math.round(contentRect.width * devicePixelRatio);
    this.canvas.height = sizes?.[0]?.blockSize ?? Math.round(contentRect.height * devicePixelRatio);
    this.viewport.resize(this.canvas);
    this.viewChanged();
  }

  /** Show a photo, or nothing. A photo that is already shown and has a new alpha keeps its position. @param {OpenPhoto | null} photo */
  show(photo) {
    const isOther = photo !== this.photo;
    this.photo = photo;
    this.#changed = null;
    if (isOther) this.split = this.heat = null;
    if (!photo) return this.redraw();
    const { width, height } = photo.alpha;
    this.#outline = new Outline(photo.alpha);
    this.now.resize({ width, height });
    this.viewport.photo = { width, height };
    this.viewport.garment = garmentIn(photo.alpha);
    if (isOther) this.viewport.fit(this.viewport.habit);
    this.#touchAll();
  }

  /** @param {import("./looks.js").Look} look */
  setLook(look) {
    this.look = look;
    this.#touchAll();
    this.#shadeEarlier();
  }

  setSplit(split) {
    const isSame = split && this.split && split.before === this.split.before;
    this.split = split;
    if (!isSame) this.#shadeEarlier();
    this.redraw();
  }

  /** The alpha changed here. @param {Rectangle | null} box */
  touch(box) {
    const seen = box && this.photo && within(box, this.photo.alpha, EDGE_REACH_PX);
    if (!seen) return;
    this.#changed = unite(this.#changed, seen);
    this.#outline?.forget(seen);
    const start = this.viewport.toScreen({ x: seen.x0, y: seen.y0 });
    const end = this.viewport.toScreen({ x: seen.x1, y: seen.y1 });
    this.redraw(within({ x0: start.x, y0: start.y, x1: end.x, y1: end.y }, this.canvas, 3));
  }

  #touchAll() {
    const { ground } = this.look;
    this.#shown = typeof ground === "function" && this.photo ? { ...this.look, ground: ground(this.photo) } : this.look;
    if (this.photo) this.touch(wholeOf(this.photo.alpha));
    this.redraw();
  }

  /** The photo was moved or zoomed. */
  viewChanged() {
    this.redraw();
    this.onview();
  }

  /** Paint again what the canvas shows. @param {Rectangle | null} [box] pixels of the canvas; all, if none are named */
  redraw(box = wholeOf(this.canvas)) {
    this.#stale = unite(this.#stale, box);
    this.#frame ||= requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    this.#frame = 0;
    const { drawing, photo } = this;
    if (photo && this.#changed) {
      shade(this.#shown, photo.pixels, photo.alpha, { data: this.now.pixels.data, box: this.#changed });
      this.now.update(this.#changed);
    }
    const spot = this.#hasLoupe && photo ? this.spot : null;
    const stale = unite(this.#stale, spot && this.#stale && this.#loupeBox(spot));
    this.#changed = this.#stale = null;
    if (!stale) return;
    drawing.save();
    this.#clear(stale);
    if (photo) this.#drawPhoto(photo, stale, this.viewport);
    this.overlay(drawing);
    if (spot) this.#drawLoupe(photo, spot);
    drawing.restore();
    this.#tellWhatIsSeen();
  }

  #drawLoupe(photo, { x, y }) {
    const { drawing, viewport, scaleAtPointer: scale } = this;
    const place = viewport.toPhoto({ x, y });
    const circle = new Path2D();
    circle.arc(x, y, LOUPE.radius * devicePixelRatio, 0, 2 * Math.PI);
    drawing.save();
    drawing.clip(circle);
    this.#clear(wholeOf(this.canvas));
    this.#drawPhoto(photo, wholeOf(this.canvas), { scale, left: x - place.x * scale, top: y - place.y * scale });
    drawing.restore();
    strokeTwice(drawing, circle);
  }

  /** @param {OpenPhoto} photo @param {Rectangle} box of the canvas, in which it is to be drawn @param {View} view */
  #drawPhoto(photo, box, view) {
    const { canvas, drawing } = this;
    const { scale, left, top } = view;
    const { width, height } = photo.alpha;
    this.now.draw(drawing, view);
    const seen = { x0: (box.x0 - left) / scale, y0: (box.y0 - top) / scale, x1: (box.x1 - left) / scale, y1: (box.y1 - top) / scale };
    const part = this.look.outline && within(seen, photo.alpha, 2);
    if (part) this.#outline?.draw(drawing, view, part);
    drawing.imageSmoothingEnabled = true;
    if (this.heat) drawing.drawImage(this.heat, left, top, width * scale, height * scale);
    if (!this.split) return;
    drawing.save();
    this.#clear({ ...wholeOf(canvas), x1: Math.round(this.split.share * canvas.width) });
    this.earlier.draw(drawing, view);
    drawing.restore();
  }

  /** Mark in the page, for tests and benchmarks, which photo is shown. */
  #tellWhatIsSeen() {
    const id = String(this.photo?.item.id ?? "");
    if (this.canvas.dataset.photo === id) return;
    this.canvas.dataset.photo = id;
    if (id) performance.mark("photo-seen", { detail: id });
  }

  #shadeEarlier() {
    if (!this.split || !this.photo) return;
    const { pixels, alpha } = this.photo;
    const look = this.split.before ? this.#shown : PHOTO_LOOK;
    this.earlier.resize(alpha);
    shade(look, pixels, this.split.before ?? alpha, { data: this.earlier.pixels.data, box: wholeOf(alpha) });
    this.earlier.update();
  }

  /** Clip drawing to a rectangle, and fill it with the surrounding gray. @param {Rectangle} box */
  #clear(box) {
    const { drawing } = this;
    drawing.beginPath();
    drawing.rect(box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0);
    drawing.clip();
    drawing.fillStyle = getComputedStyle(this.canvas).backgroundColor;
    drawing.fill();
  }
}
