import { BrushTool } from "./tools/brush.js";
import { LassoTool } from "./tools/lasso.js";
import { FillTool, KeepTool } from "./tools/parts.js";
import { PolygonTool } from "./tools/polygon.js";
import { SmartTool } from "./tools/smart.js";

/** @typedef {import("./tools/tool.js").Tool} Tool */

const HINTS = /** @type {Record<string, string>} */ ({
  brush: "Alt erases · Shift+click: straight · [ ] size",
  eraser: "Alt paints garment · Shift+click: straight · [ ] size",
  smart: "Paint over an edge · Shift: garment · Alt: background",
  lasso: "Draw around garment · Alt: around background",
  polygon: "Click around garment, Enter closes · Alt: background",
  fill: "Click into a hole to fill it.",
  keep: "Click the part that stays; all others go.",
});

/**
 * The tools, one of which is in the hand.
 */
export class Toolbox extends EventTarget {
  /** @param {import("./easel.js").Easel} easel */
  constructor(easel) {
    super();
    this.easel = easel;
    /** @type {Record<string, Tool>} */
    this.tools = {
      brush: new BrushTool(easel, { erase: false }),
      eraser: new BrushTool(easel, { erase: true }),
      smart: new SmartTool(easel),
      lasso: new LassoTool(easel),
      polygon: new PolygonTool(easel),
      fill: new FillTool(easel),
      keep: new KeepTool(easel),
    };
    this.name = "brush";
    easel.stage.overlay = (drawing) => Object.values(this.tools).forEach((tool) => tool.draw(drawing));
  }

  /** @returns {Tool} */
  get tool() {
    return this.tools[this.name];
  }

  get hint() {
    return HINTS[this.name];
  }

  /** @param {string} name */
  choose(name) {
    if (name !== this.name) this.tool.cancel();
    this.name = name;
    this.dispatchEvent(new Event("choose"));
  }
}
