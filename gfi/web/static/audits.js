import { $, api, count, duration, empty, fill, findings, h, repeat, showErrors, showRefusal, state, when } from "/static/ui.js";

async function load() {
  const audits = await api("/v1/audits");
  fill($("rows"), audits.map((a) => h("tr", null,
    h("td.nowrap", null, h("a", { href: `/audits/${a.id}` }, a.id)), h("td.nowrap", null, state(a.state)), h("td", null, findings(a)),
    h("td.nowrap", null, h("a", { href: `/jobs/${a.job_id}` }, a.job_id)), h("td.nowrap", null, when(a.created_at)))));
  $("table").hidden = !audits.length;
  $("empty").hidden = true;
  if (!audits.length) empty("No audits yet", "An audit says what a model looks at, and whether that is a shortcut. Ask for one on the page of a job, or with ", h("code", null, "gfi audit"), ".");
}

const form = $("form");
let models = [], estimated = "";

function asked() {
  const value = (name) => form.elements[name].value.trim();
  return {
    ...(value("after") ? { after: value("after") } : {}),
    job: { dataset: value("dataset"), model: value("model") }, first: Number(value("first")), margin: Number(value("margin")),
    classes: value("classes").split(",").map((name) => name.trim()).filter(Boolean),
  };
}

// The least that it explains is the first sample, the most the whole dataset. A second press starts what was estimated.
async function estimate(body) {
  const model = models.find((m) => m.reference === body.job.model);
  const plan = (images) => api("/v1/jobs/estimate", { method: "POST", body: { ...body.job, ...images } });
  const whole = await plan({});
  const sample = (model?.classes || 1) * body.first;
  const first = await plan({ images: whole.complete ? Math.min(sample, whole.images) : sample });
  const time = ({ speed, device_seconds_low: low, device_seconds_high: high }) => (speed ? `${duration(low)}${low === high ? "" : ` to ${duration(high)}`} on a device` : "time on a device not known");
  const facts = [
    ["First sample", `at most ${count(first.images)} images: ${time(first)}`],
    ["Whole dataset", `${whole.complete ? "" : "at least "}${count(whole.images)} images: ${time(whole)}`],
    ["Tests", "of the candidates come on top. Limits of your token are checked before each instalment."],
  ];
  $("estimate").replaceChildren(...facts.flatMap(([k, v]) => [h("dt", null, k), h("dd", null, v)]));
  $("estimate").hidden = false;
}

function changed() {
  estimated = "";
  $("send").textContent = "Estimate";
  $("estimate").hidden = true;
}

async function open() {
  const [registered, places] = await Promise.all([api("/v1/models"), api("/v1/datasets")]);
  models = registered;
  form.elements.model.replaceChildren(...models.map((m) => h("option", { value: m.reference }, m.reference)));
  $("datasets").replaceChildren(...places.registered.map((d) => h("option", { value: `@${d.name}` }, d.dataset)));
}

form?.addEventListener("input", changed);
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  showRefusal(null);
  const body = asked(), text = JSON.stringify(body);
  $("send").disabled = true;
  try {
    if (text === estimated) {
      const { audit } = await api("/v1/audits", { method: "POST", body });
      location.assign(`/audits/${audit.id}`);
      return;
    }
    await estimate(body);
    if (JSON.stringify(asked()) === text) {
      estimated = text;
      $("send").textContent = "Start the audit";
    }
  } catch (error) { showRefusal(error); } finally { $("send").disabled = false; }
});
showErrors(load);
if (form) showErrors(open);
repeat(5000, load);
