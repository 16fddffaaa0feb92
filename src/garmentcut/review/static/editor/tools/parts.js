import { announce } from "../../page/messages.js";
import { fillHole } from "../../painting/hole.js";
import { keepPart } from "../../painting/parts.js";
import { Tool } from "./tool.js";

/** @typedef {import("./tool.js").Touch} Touch */

const NOT_A_HOLE = {
  garment: "There is no hole here: this is garment.",
  background: "This is no hole: it is open to the background. Close it with the brush first.",
};

/** True if a touch is on the photo. @param {{width: number, height: number}} plane @param {Touch} touch */
function isOn(plane, { x, y }) {
  return x >= 0 && y >= 0 && x < plane.width && y < plane.height;
}

/** A click into a hole fills it. */
export class FillTool extends Tool {
  /** @param {Touch} touch */
  begin(touch) {
    const { settled } = this.easel.planes;
    if (!isOn(settled, touch)) return;
    const filled = fillHole(settled, Math.floor(touch.x), Math.floor(touch.y));
    if (typeof filled === "string") announce(NOT_A_HOLE[filled]);
    else this.easel.replace("Fill hole", filled);
  }
}

/** A click on a part of the cutout lets all others go. */
export class KeepTool extends Tool {
  /** @param {Touch} touch */
  begin(touch) {
    const { settled } = this.easel.planes;
    if (!isOn(settled, touch)) return;
    const kept = keepPart(settled, Math.floor(touch.x), Math.floor(touch.y));
    if (!kept) announce("There is no garment here. Click on the part that stays.");
    else if (!this.easel.replace("Keep this part", kept)) announce("There is only this part.");
  }
}
