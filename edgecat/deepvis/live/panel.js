const root = document.getElementById("deepvis");
const picture = document.getElementById("deepvis-picture");
const layer = document.getElementById("deepvis-layer");
const said = document.getElementById("deepvis-said");
const buttons = [...root.querySelectorAll("[data-action]")];
const keys = JSON.parse(root.dataset.keys);
const STATUS_MS = 700;
const phone = matchMedia("(max-width: 640px)"); // its image is higher than wide
phone.addEventListener("change", () => watch());

// Sequential, so that keys in quick succession arrive in order.
let last = Promise.resolve();
let pending = 0;

function act(action, message = {}) {
  pending += 1;
  last = last.then(() => post(action, message)).finally(() => { pending -= 1; });
  return last;
}

async function post(action, message) {
  try {
    const answer = await fetch(`/panels/deepvis/${action}`, {
      method: "POST", body: JSON.stringify(message),
    });
    const data = await answer.json();
    said.textContent = answer.ok ? "" : data.error;
    if (answer.ok) show(data);
  } catch {
    said.textContent = "Cannot reach the camera.";
  }
}

let places = {};

// Names what the pointer is on: a unit of the layer, or a layer.
picture.addEventListener("mousemove", event => {
  const where = places[phone.matches ? "tall" : ""];
  if (!where) return;
  const [x, y] = [event.offsetX / picture.clientWidth, event.offsetY / picture.clientHeight];
  const inside = ([left, top, width, height]) =>
    x >= left && x < left + width && y >= top && y < top + height;
  const [left, top, width, height, count, rows, columns] = where.grid;
  const named = where.strip.find(inside);
  let text = named ? layer.options[named[4]].text : "";
  if (where.grid.length && inside(where.grid)) {
    const unit = Math.floor((y - top) / height * rows) * columns
      + Math.floor((x - left) / width * columns);
    if (unit < count) text = `unit ${unit} of ${layer.options[where.layer].text}`;
  }
  if (picture.title !== text) picture.title = text;
});

function show({ layer: number, unit, lit, places: now }) {
  places = now;
  root.dataset.unit = unit;
  if (document.activeElement !== layer) layer.value = number;
  for (const button of buttons) {
    if (button.hasAttribute("aria-pressed"))
      button.setAttribute("aria-pressed", lit.includes(button.dataset.action));
  }
}

for (const button of buttons)
  button.addEventListener("click", () => act(button.dataset.action));
layer.addEventListener("change", () => act("select", { layer: Number(layer.value), unit: 0 }));
picture.addEventListener("click", event => act("click", {
  x: event.offsetX / picture.clientWidth, y: event.offsetY / picture.clientHeight,
  view: phone.matches ? "tall" : "",
}));

addEventListener("keydown", event => {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || !(key in keys)) return;
  if (target.matches?.("select, input, textarea") || document.querySelector("dialog[open]")) return;
  if (key === " " && target.matches?.("button, a")) return; // it presses the focused element
  event.preventDefault();
  if (pending < 4) act(keys[key]); // drop repeats of a held key while requests are pending
});

// A hidden page requests nothing, so nothing is computed for it.
let timer = 0;

function watch() {
  const [view, width, height] = phone.matches ? ["&view=tall", 720, 1440] : ["", 1280, 720];
  [picture.width, picture.height] = [width, height];
  picture.src = `/panels/deepvis/stream?width=${width}&fps=15${view}&at=${Date.now()}`;
  clearInterval(timer);
  timer = setInterval(() => { if (!pending) act("status"); }, STATUS_MS);
  act("status");
}

function rest() {
  clearInterval(timer);
  picture.removeAttribute("src");
}

picture.addEventListener("error", () => { if (!document.hidden) setTimeout(watch, 3000); });
document.addEventListener("visibilitychange", () => (document.hidden ? rest() : watch()));
addEventListener("pagehide", rest);
if (document.readyState === "complete") watch();
else addEventListener("load", watch);
