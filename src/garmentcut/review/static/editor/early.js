import { dataOf } from "../page/elements.js";
import { loadPhoto } from "./photo.js";

/** The page's own photo: decoded while the rest of the editor's scripts are still read. @type {ReturnType<typeof loadPhoto>} */
export const entry = loadPhoto(dataOf("photo-data"));
entry.catch(() => undefined); // whoever waits for it hears of it
