// The OpenAPI description as a page: every address with what it takes and what it answers.
"use strict";

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function typeOf(schema) {
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  const range = schema.minimum !== undefined ? ` ${schema.minimum} to ${schema.maximum ?? "…"}` : "";
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? {})}`;
  return (schema.format === "binary" ? "file" : schema.type ?? "any") + range;
}

function fields(schema) {
  const rows = Object.entries(schema.properties ?? {}).map(([name, each]) => element("tr", {},
    element("td", {}, element("code", {}, name), (schema.required ?? []).includes(name) ? " (needed)" : ""),
    element("td", {}, typeOf(each)),
    element("td", {}, each.default === undefined || each.default === null ? "" : JSON.stringify(each.default)),
    element("td", {}, each.description ?? "")));
  const heads = ["field", "type", "default", ""].map((text) => element("th", { scope: "col" }, text));
  return element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
}

function operation(method, path, described) {
  const box = element("article", { className: "card" }, element("h2", {}, `${method.toUpperCase()} ${path}`),
    element("p", {}, described.summary ?? ""), element("p", { className: "faint" }, described.description ?? ""));
  for (const [type, { schema }] of Object.entries(described.requestBody?.content ?? {})) {
    box.append(element("p", {}, "Takes ", element("code", {}, type)), fields(schema));
  }
  for (const parameter of described.parameters ?? []) {
    box.append(element("p", {}, `In the ${parameter.in}: `, element("code", {}, parameter.name), ` (${typeOf(parameter.schema)})`));
  }
  const statuses = Object.entries(described.responses).map(([status, { description }]) => `${status} ${description}`);
  box.append(element("details", {}, element("summary", {}, "Answers"), ...statuses.map((text) => element("div", {}, text))));
  return box;
}

fetch("/openapi.json").then((answer) => answer.json()).then(({ paths }) => {
  const all = Object.entries(paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, described]) => operation(method, path, described)));
  document.getElementById("main").replaceChildren(...all);
});
