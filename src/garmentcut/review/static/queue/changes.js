import { insist } from "../page/connection.js";
import { askJson, Refusal } from "../page/server.js";

const EVERY_MS = 2000;

/**
 * Ask every two seconds what changed, while the page is seen: what `cut` writes, what others decide.
 *
 * @param {number} revision up to which the page knows everything
 * @param {(change: {revision: number, items: import("../page/server.js").Item[], counts: import("./pages.js").Counts, running: boolean, more: boolean}) => void} tell
 */
export async function watchChanges(revision, tell) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    if (document.hidden) continue;
    try {
      const change = await insist(() => askJson(`/api/changes?since=${revision}`));
      revision = change.revision;
      tell(change);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error; // a refusal once, say 500, may not come again
    }
  }
}
