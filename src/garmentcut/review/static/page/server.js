/**
 * The server refused, and says why in words that can be shown.
 */
export class Refusal extends Error {
  /**
   * @param {number} status of HTTP
   * @param {string} message
   * @param {Item | null} item the photo as it now is, where another version was in the way
   */
  constructor(status, message, item) {
    super(message);
    this.status = status;
    this.item = item;
  }
}

/** The server did not answer; the same request may succeed later. */
export class Unreachable extends Error {}

/**
 * One photo of the batch; docs/review-api.md says what each means.
 *
 * @typedef {object} Item
 * @property {number} id
 * @property {string} place
 * @property {string} name
 * @property {string} garment
 * @property {string} view
 * @property {number | null} doubt
 * @property {"" | "accept" | "review"} verdict
 * @property {string[]} reasons
 * @property {"open" | "accepted" | "corrected" | "rejected" | "failed"} state
 * @property {number} version
 * @property {string} note
 * @property {number | null} width
 * @property {number | null} height
 * @property {string} reason
 * @property {boolean} has_draft
 * @property {boolean} has_alpha
 * @property {string} undelivered
 * @property {number} seconds
 * @property {string} changed_by
 * @property {string | null} changed_at
 * @property {{page: string, thumbnail: string, photo: string, alpha: string | null, predicted: string | null, heat: string | null}} urls
 */

/** @typedef {Item & {siblings: Item[], previous: number | null, next: number | null, position: number, total: number}} PlacedItem */

const TIMEOUT_MS = 60_000;
const PERSON_KEY = "garmentcut-person";

/** Who works here; empty if nobody said so. */
export function person() {
  return localStorage.getItem(PERSON_KEY) ?? "";
}

/** @param {string} name */
export function setPerson(name) {
  localStorage.setItem(PERSON_KEY, name.trim().slice(0, 80));
}

/**
 * Ask the server once.
 *
 * @param {string} path
 * @param {{method?: string, json?: unknown, png?: Blob}} [request]
 * @returns {Promise<Response>} an answer that is no error
 * @throws {Refusal | Unreachable}
 */
export async function ask(path, { method = "GET", json, png } = {}) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (method !== "GET") headers["X-Garmentcut-Token"] = metaContent("garmentcut-token");
  if (method !== "GET" && person()) headers["X-Garmentcut-Person"] = encodeURIComponent(person());
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (png) headers["Content-Type"] = "image/png";
  const body = png ?? (json === undefined ? undefined : JSON.stringify(json));
  /** @type {Response} */
  let answer;
  try {
    answer = await fetch(path, { method, headers, body, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new Unreachable("The server does not answer.");
  }
  if (answer.ok) return answer;
  throw await errorOf(answer);
}

/** @param {string} path @param {{method?: string, json?: unknown, png?: Blob}} [request] @returns {Promise<any>} */
export async function askJson(path, request) {
  return whole(await ask(path, request), (answer) => answer.json());
}

/** @param {string} path @returns {Promise<Blob>} */
export async function askBlob(path) {
  return whole(await ask(path), (answer) => answer.blob());
}

/**
 * All of an answer: one that breaks off is none, and may be asked for again.
 *
 * @template T
 * @param {Response} answer
 * @param {(answer: Response) => Promise<T>} read
 */
async function whole(answer, read) {
  try {
    return await read(answer);
  } catch {
    throw new Unreachable("The server's answer broke off.");
  }
}

/** @param {Response} answer */
async function errorOf(answer) {
  if ([502, 503, 504].includes(answer.status)) return new Unreachable("The server is busy.");
  const content = await answer.json().catch(() => ({}));
  return new Refusal(answer.status, content.error ?? `The server answered ${answer.status}.`, content.item ?? null);
}

/** @param {string} name */
function metaContent(name) {
  return document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? "";
}
