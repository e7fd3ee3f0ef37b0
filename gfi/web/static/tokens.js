import { $, api, empty, fill, h, showRefusal, showErrors, when } from "/static/ui.js";

async function load() {
  const tokens = await api("/v1/tokens");
  const limits = (t) => Object.entries(t.limits || {}).map(([k, v]) => `${k.replaceAll("_", " ")} ${v}`).join(", ");
  fill($("rows"), tokens.map((t) => h("tr", null,
    h("td", null, t.name), h("td.nowrap", null, t.scopes.join(", ")), h("td", null, limits(t) || h("span.soft", null, "default")), h("td.nowrap", null, when(t.created_at)),
    h("td.nowrap", null, t.expires_at ? when(t.expires_at) : "never"), h("td.nowrap", null, t.used_at ? when(t.used_at) : "never"),
    h("td.do", null, t.revoked_at ? h("span.soft", null, "revoked") : h("button.danger", { type: "button", onclick: () => revoke(t) }, "Revoke")))));
  $("table").hidden = !tokens.length;
  $("empty").hidden = true;
  if (!tokens.length) empty("No tokens yet", "Give each program its own token, so that it can be revoked without affecting the others.");
}

async function revoke(token) {
  if (!confirm(`Revoke the token ${token.name}? Requests with it are refused from now on.`)) return;
  await showErrors(async () => {
    await api(`/v1/tokens/${token.id}`, { method: "DELETE" });
    await load();
  });
}

const form = $("form");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  showRefusal(null);
  const value = (name) => form.elements[name].value.trim();
  const limits = {};
  for (const name of ["max_images", "max_active_jobs"]) if (value(name)) limits[name] = Number(value(name));
  try {
    const made = await api("/v1/tokens", { method: "POST", body: { name: value("name"), scopes: [value("scope")], expires_in_s: value("expires") ? Number(value("expires")) : null, limits } });
    $("plain").textContent = made.token;
    $("made").hidden = false;
    form.elements.name.value = "";
    await load();
  } catch (error) { showRefusal(error); }
});
$("copy").addEventListener("click", () => navigator.clipboard?.writeText($("plain").textContent));
showErrors(load);
