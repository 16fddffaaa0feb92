import { garmentIn } from "../painting/plane.js";
import { unite, wholeOf, within } from "../painting/rectangle.js";
import { LOOKS, PHOTO_LOOK, shade } from "./looks.js";
import { Outline } from "./outline.js";
import { Pyramid } from "./pyramid.js";
import { RIM_REACH_PX } from "./rim-color.js";

/**
 * @typedef {import("../painting/plane.js").Plane} Plane
 * @typedef {import("../painting/rectangle.js").Rectangle} Rectangle
 * @typedef {import("./viewport.js").Viewport} Viewport
 * @typedef {{pixels: Uint8ClampedArray, alpha: Plane}} Picture
 * @typedef {{share: number, before: Plane | null}} Split `share` of the canvas's width; before: an alpha, or null: the photo
 */

const SURROUND = "#262626";

/**
 * The canvas: paints what changed, once a frame.
 */
export class Stage {
  /** @param {HTMLCanvasElement} canvas @param {Viewport} viewport */
  constructor(canvas, viewport) {
    this.canvas = canvas;
    this.viewport = viewport;
    this.drawing = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    this.now = new Pyramid();
    this.earlier = new Pyramid();
    /** @type {Picture | null} */
    this.picture = null;
    this.look = LOOKS[0];
    /** @type {Split | null} */
    this.split = null;
    /** @type {OffscreenCanvas | null} */
    this.heat = null;
    /** Drawn last, over everything: a tool's own lines. @type {((drawing: CanvasRenderingContext2D) => void) | null} */
    this.overlay = null;
    /** @type {Rectangle | null} pixels of the photo whose alpha changed */
    this.changed = null;
    /** @type {Rectangle | null} pixels of the canvas to paint */
    this.stale = null;
    this.frame = 0;
    /** Called after each frame that was painted. @type {() => void} */
    this.onpaint = () => undefined;
  }

  /** Show a picture, or nothing. One that is shown already, but has another alpha, stays where it is. @param {Picture | null} picture */
  show(picture) {
    const isOther = picture !== this.picture;
    this.picture = picture;
    this.changed = null;
    if (isOther) this.split = this.heat = null;
    if (!picture) return this.redraw();
    this.outline = new Outline(picture.alpha);
    this.now.resize(picture.alpha.width, picture.alpha.height);
    this.viewport.photo = { width: picture.alpha.width, height: picture.alpha.height };
    this.viewport.garment = garmentIn(picture.alpha);
    if (isOther) this.viewport.fit(this.viewport.habit);
    this.touchAll();
  }

  /** @param {import("./looks.js").Look} look */
  setLook(look) {
    this.look = look;
    this.touchAll();
    this.#shadeEarlier();
  }

  /** @param {Split | null} split */
  setSplit(split) {
    const isSame = split && this.split && split.before === this.split.before;
    this.split = split;
    if (!isSame) this.#shadeEarlier();
    this.redraw();
  }

  /** The alpha changed here. @param {Rectangle} box */
  touch(box) {
    const seen = this.picture && within(box, this.picture.alpha, RIM_REACH_PX);
    if (!seen) return;
    this.changed = unite(this.changed, seen);
    this.outline?.forget(seen);
    this.redraw(this.viewport.boxOnScreen(seen), 3);
  }

  /** Everything about the picture changed. */
  touchAll() {
    if (this.picture) this.touch(wholeOf(this.picture.alpha));
    this.redraw();
  }

  /** Paint again what the canvas shows. @param {Rectangle} [box] pixels of the canvas @param {number} [margin] */
  redraw(box, margin = 0) {
    const part = within(box ?? wholeOf(this.canvas), this.canvas, margin);
    this.stale = unite(this.stale, part);
    if (!this.frame) this.frame = requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    this.frame = 0;
    const { drawing, stale, picture } = this;
    if (picture && this.changed) {
      shade(this.look, picture.pixels, picture.alpha, { data: this.now.pixels.data, box: this.changed });
      this.now.update(this.changed);
      this.changed = null;
    }
    this.stale = null;
    if (!stale) return;
    drawing.save();
    clipTo(drawing, stale);
    drawing.fillStyle = SURROUND;
    drawing.fillRect(stale.x0, stale.y0, stale.x1 - stale.x0, stale.y1 - stale.y0);
    if (picture) this.#drawPicture(stale);
    this.overlay?.(drawing);
    drawing.restore();
    this.onpaint();
  }

  /** @param {Rectangle} stale */
  #drawPicture(stale) {
    const { drawing, viewport } = this;
    this.now.draw(drawing, viewport);
    if (this.look.outline) this.#drawOutline(stale);
    if (this.heat) this.#drawHeat(this.heat);
    if (!this.split) return;
    drawing.save();
    clipTo(drawing, { ...wholeOf(this.canvas), x1: Math.round(this.split.share * this.canvas.width) });
    drawing.fillStyle = SURROUND;
    drawing.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.earlier.draw(drawing, viewport);
    drawing.restore();
  }

  /** @param {Rectangle} stale */
  #drawOutline(stale) {
    const start = this.viewport.toPhoto({ x: stale.x0, y: stale.y0 });
    const end = this.viewport.toPhoto({ x: stale.x1, y: stale.y1 });
    const seen = this.picture && within({ x0: start.x, y0: start.y, x1: end.x, y1: end.y }, this.picture.alpha, 2);
    if (seen) this.outline?.draw(this.drawing, this.viewport, seen);
  }

  /** @param {OffscreenCanvas} heat */
  #drawHeat(heat) {
    const { drawing, viewport } = this;
    drawing.imageSmoothingEnabled = true;
    drawing.drawImage(heat, viewport.left, viewport.top, viewport.photo.width * viewport.scale, viewport.photo.height * viewport.scale);
  }

  #shadeEarlier() {
    if (!this.split || !this.picture) return;
    const { pixels, alpha } = this.picture;
    const look = this.split.before ? this.look : PHOTO_LOOK;
    this.earlier.resize(alpha.width, alpha.height);
    shade(look, pixels, this.split.before ?? alpha, { data: this.earlier.pixels.data, box: wholeOf(alpha) });
    this.earlier.updateAll();
  }
}

/** @param {CanvasRenderingContext2D} drawing @param {Rectangle} box */
function clipTo(drawing, box) {
  drawing.beginPath();
  drawing.rect(box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0);
  drawing.clip();
}
