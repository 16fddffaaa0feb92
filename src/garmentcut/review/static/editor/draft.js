import { drop, keyOf, put, takeAll } from "../page/cabinet.js";
import { isAlive, tabName } from "../page/tab.js";
import { copyPlane } from "../painting/plane.js";
import { putTile, tilesOfDifference } from "../painting/history.js";

/**
 * Strokes that no server has yet, kept in the browser after each of them: a reload or a crash loses none. Each tab has
 * its own; those of a tab that is gone are taken over by the next that opens the photo.
 *
 * @typedef {object} Draft
 * @property {number} id of the photo
 * @property {string} tab
 * @property {number} version of the photo on which it was painted
 * @property {number} width
 * @property {number} height
 * @property {{index: number, packed: Uint8Array}[]} tiles
 * @property {number} seconds hands-on time not yet stored
 * @property {number} kept_ms when, by this machine's clock
 */

/** @typedef {import("../painting/plane.js").Plane} Plane */

/**
 * Keep what is painted; forget the draft if all of it is saved.
 *
 * @param {import("./photo.js").OpenPhoto} photo
 * @param {number} seconds
 */
export async function keepDraft({ item, alpha, saved }, seconds) {
  const tiles = tilesOfDifference(alpha, saved);
  if (!tiles.length) return dropDraft(item.id);
  const tab = await tabName();
  const { width, height } = alpha;
  return put("drafts", keyOf(item.id, tab), { id: item.id, tab, version: item.version, width, height, tiles, seconds, kept_ms: Date.now() });
}

/** @param {number} id @param {string} [tab] this one, if none is named */
export async function dropDraft(id, tab) {
  return drop("drafts", keyOf(id, tab ?? (await tabName())));
}

/**
 * Forget this tab's draft of a photo that was left, if it is no younger than what the server has got.
 *
 * @param {number} id
 * @param {number} posted_ms
 */
export async function dropSentDraft(id, posted_ms) {
  const own = await tabName();
  for (const draft of await takeAll("drafts", id)) if (draft.tab === own && draft.kept_ms <= posted_ms) await dropDraft(id);
}

/**
 * The draft of a photo, this tab's own or one whose tab is gone.
 *
 * @param {import("./photo.js").OpenPhoto} photo
 * @returns {Promise<Draft | null>}
 */
export async function findDraft({ item, alpha }) {
  const own = await tabName();
  /** @type {Draft[]} */
  const all = await takeAll("drafts", item.id).catch(() => []);
  const fitting = all.filter((draft) => draft.width === alpha.width && draft.height === alpha.height);
  for (const draft of fitting) if (draft.tab === own) return draft;
  for (const draft of fitting) if (!(await isAlive(draft.tab))) return draft;
  return null;
}

/**
 * An alpha with a draft's tiles laid over it.
 *
 * @param {Plane} alpha
 * @param {Draft} draft
 * @returns {Plane}
 */
export function withDraft(alpha, draft) {
  const plane = copyPlane(alpha);
  for (const { index, packed } of draft.tiles) putTile(plane, index, packed);
  return plane;
}
