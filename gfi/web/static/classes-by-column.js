// The results of a job by a column: means with bootstrap intervals, and what was left out of them and why.
import { api, count, decimal, h, words } from "/static/ui.js";
import { galleryLink, id, job, numbers, titleOf } from "/static/results.js";

const TOO_MANY = 413;
export const GROUPED = ["label", "prediction", "target", "status", "error_class"];

// { by, groups, more, intervals }: of a job with too many results for intervals, the means alone.
export async function readGroups(by) {
  const query = new URLSearchParams({ by });
  try {
    return { intervals: true, ...(await api(`/v1/jobs/${id}/intervals?${query}`)) };
  } catch (error) {
    if (error.status !== TOO_MANY) throw error;
  }
  const { groups, more } = await api(`/v1/jobs/${id}/groups?${query}`);
  return { by, more, intervals: false, groups: groups.map(ofMeans) };
}

function ofMeans({ value, images, counts, means }) {
  const { ok = 0, ...left } = counts;
  const numbered = Object.entries(means).map(([name, { mean, count: n }]) => [name, { mean, low: null, high: null, images: n, missing: ok - n }]);
  return { value, images, explained: ok, left_out: left, numbers: Object.fromEntries(numbered) };
}

// What each group is called, and the filter of the gallery for it; null where it has none.
async function namesOf(by) {
  const { facts, model } = await job, further = facts?.columns?.[by];
  const classes = ["prediction", "target"].includes(by) && !further ? ((await api(`/v1/models/${encodeURIComponent(model)}`).catch(() => null))?.class_names ?? []) : [];
  return {
    name: (value) => (value === null ? "no value" : by === "status" && !further ? words(value) : classes[value] ?? String(value)),
    filter: (value) => (further ? { where: `${by}=${value ?? ""}` } : value === null ? null : { [by]: value }),
  };
}

export async function fillGroups(head, body, data, search) {
  const { name, filter } = await namesOf(data.by);
  const known = numbers.filter((one) => data.groups.some((group) => group.numbers[one]));
  const heads = [words(data.by), "Images", "Explained", "Left out", ...known.map(titleOf)];
  head.replaceChildren(...heads.map((text, i) => h(i === 0 || i === 3 ? "th" : "th.num", null, text)));
  const number = (one, places) => (one ? [decimal(one.mean, places), h("small", null, one.low === null ? "" : `${decimal(one.low, places)} – ${decimal(one.high, places)}`), one.missing ? h("small", null, `${count(one.missing)} without it`) : ""] : "");
  const listed = data.groups.filter((group) => name(group.value).toLowerCase().includes(search));
  body.replaceChildren(...listed.map((group) => {
    const link = filter(group.value);
    const row = h("tr", null,
      h("td", null, link ? h("a", { href: galleryLink(link) }, name(group.value)) : name(group.value)),
      h("td.num", null, count(group.images)), h("td.num", null, count(group.explained)),
      h("td", null, Object.entries(group.left_out).map(([status, n]) => `${count(n)} ${words(status).toLowerCase()}`).join(", ")),
      ...known.map((one) => h("td.num", null, number(group.numbers[one], one === "iterations" ? 1 : 3))));
    [...row.cells].forEach((cell, i) => { cell.dataset.label = heads[i]; });
    return row;
  }));
  return `${count(listed.length)}${data.more ? " largest" : ""} groups`;
}
