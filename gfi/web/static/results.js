// What pages of a job share: its id and words, pictures of results, links into the gallery.
import { api, h, words } from "/static/ui.js";

export const id = location.pathname.split("/")[2];
export const job = api(`/v1/jobs/${id}`);
const vocabulary = await api("/v1/vocabulary");
export const vocabularyOf = vocabulary;
export const columns = [...vocabulary.columns, ...vocabulary.metrics.flatMap((metric) => metric.columns)];
export const numbers = columns.map((column) => column.name);
const meanings = new Map(columns.map((column) => [column.name, column]));
// What a number means, as a sentence.
export function meaning(name) {
  const text = meanings.get(name)?.meaning ?? "";
  return text && `${text[0].toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;
}
export const better = (name) => meanings.get(name)?.better ?? null;
export const titleOf = (name) => meanings.get(name)?.title || words(name);

// The address of the gallery with these filters; those that are null are left out.
export function galleryLink(filters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filters)) for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") query.append(name, one);
  return `/jobs/${id}/gallery${query.size ? `?${query}` : ""}`;
}

// One picture for each explanation: an image of a job with several classes has several.
export function picture(owner, item, kind, more = {}) {
  const rank = item.target_rank && kind !== "photo.jpg" && kind !== "thumbnail.jpg" ? { target_rank: item.target_rank } : {};
  return `/v1/jobs/${owner}/results/${item.row}/${kind}?${new URLSearchParams({ v: item.picture, ...rank, ...more })}`;
}

// The photograph; where it cannot be read, the thumbnail of the part; where there is none, words.
export function photograph(owner, item, size, missing) {
  const image = h("img", { src: picture(owner, item, "photo.jpg", { size }), alt: "", decoding: "async" });
  image.addEventListener("error", () => {
    image.addEventListener("error", missing, { once: true });
    image.src = picture(owner, item, "thumbnail.jpg");
  }, { once: true });
  return image;
}

// The photograph with the mask over it, as a figure that opens the image in the gallery.
export function example(item, caption, filters = {}) {
  const pic = h("span.pic");
  const words_ = (text) => () => pic.append(h("em", null, text));
  pic.append(photograph(id, item, 256, words_("no photograph")));
  if (item.has_mask) pic.append(h("img.over", { src: picture(id, item, "mask.png", { size: 256, map: "viridis" }), alt: "", decoding: "async", onerror: words_("no mask") }));
  return h("figure", null, h("a", { href: galleryLink({ ...filters, row: item.row }), "aria-label": `Open ${item.key}` }, pic), h("figcaption", { title: item.key }, caption));
}

// The heading of a page of the job.
export async function showTitle(page) {
  const { name } = await job;
  document.title = `${name || id}: ${page} · gfi`;
  const title = document.getElementById("title");
  title.textContent = name || id;
}
