// Charts, drop-downs and the theme.

const data = JSON.parse(document.getElementById("data").textContent);
const column = (n) => {
  const found = data.columns[n];
  return Array.isArray(found) ? found : found.at.map((place) => found.levels[place]);
};

// A specification as Vega-Lite has it: rows again in place of columns.
function unpacked(part) {
  if (Array.isArray(part)) return part.map(unpacked);
  if (part === null || typeof part !== "object") return part;
  const whole = {};
  for (const [name, value] of Object.entries(part)) {
    whole[name] = name === "data" ? { values: rows(value) } : unpacked(value);
  }
  return whole;
}

function rows(names) {
  const columns = Object.entries(names).map(([name, n]) => [name, column(n)]);
  const length = columns.length ? columns[0][1].length : 0;
  return Array.from({ length }, (_, n) => Object.fromEntries(columns.map(([name, c]) => [name, c[n]])));
}

const theme = () => document.documentElement.dataset.theme;
const options = () => ({
  mode: "vega-lite", actions: false, renderer: "canvas", ast: true, config: data.looks[theme()],
  tooltip: { theme: theme() },
});
const drawn = new Map(); // figure → the view that it shows

async function draw(figure) {
  if (!window.vegaEmbed || drawn.has(figure)) return;
  drawn.set(figure, null);
  const spec = unpacked(data.charts[Number(figure.dataset.chart)]);
  const made = await vegaEmbed(figure, spec, options());
  drawn.set(figure, made);
}

function forget(figure) {
  drawn.get(figure)?.finalize();
  drawn.delete(figure);
}

function figureOf(number) {
  const figure = document.createElement("figure");
  figure.className = "chart";
  figure.dataset.chart = number;
  return figure;
}

function showChoice(place, { names, charts }) {
  const picker = document.createElement("div");
  const shown = document.createElement("div");
  picker.className = "picker";
  const selects = names.map((name, n) => {
    const label = document.createElement("label");
    const select = document.createElement("select");
    for (const value of new Set(charts.map((chart) => chart.of[n]))) select.add(new Option(value, value));
    const before = kept.get(`choice ${name} ${n}`, charts[0].of[n]);
    select.value = charts.some((chart) => chart.of[n] === before) ? before : charts[0].of[n];
    select.onchange = () => {
      kept.set(`choice ${name} ${n}`, select.value);
      show();
    };
    label.append(name, select);
    picker.append(label);
    return select;
  });
  function show() {
    shown.querySelectorAll("figure").forEach(forget);
    const found = charts.find((chart) => chart.of.every((value, n) => value === selects[n].value));
    shown.replaceChildren(...(found ? found.charts.map(figureOf) : ["Choose two that differ."]));
    shown.querySelectorAll("figure").forEach((figure) => sight.observe(figure));
  }
  place.append(picker, shown);
  show();
}

// What is in sight first; the rest when there is time, so that it is there for printing too.
const sight = new IntersectionObserver((found) => {
  for (const { target, isIntersecting } of found) if (isIntersecting) draw(target);
}, { rootMargin: "400px" });

async function drawRest() {
  for (const figure of document.querySelectorAll("figure.chart")) {
    await new Promise((done) => setTimeout(done, 20));
    await draw(figure);
  }
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  const before = [...drawn.keys()];
  before.forEach(forget);
  before.forEach(draw);
}

const dark = matchMedia("(prefers-color-scheme: dark)");
setTheme(kept.get("theme", dark.matches ? "dark" : "light"));
dark.onchange = () => setTheme(dark.matches ? "dark" : "light");
document.getElementById("theme").onclick = () => {
  setTheme(theme() === "dark" ? "light" : "dark");
  kept.set("theme", theme());
};
for (const place of document.querySelectorAll(".rows")) {
  const { columns, length } = data.rows[Number(place.dataset.rows)];
  showRows(place, columns.map((c) => ({ ...c, cells: column(c.cells) })), length);
}
for (const place of document.querySelectorAll(".choice")) showChoice(place, data.choices[Number(place.dataset.choice)]);
document.querySelectorAll("figure.chart").forEach((figure) => sight.observe(figure));
addEventListener("load", () => setTimeout(drawRest, 300));
