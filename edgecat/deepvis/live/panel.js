const root = document.getElementById("deepvis");
const picture = document.getElementById("deepvis-picture");
const layer = document.getElementById("deepvis-layer");
const said = document.getElementById("deepvis-said");
const buttons = [...root.querySelectorAll("[data-action]")];
const keys = JSON.parse(root.dataset.keys);
const STATUS_MS = 700;

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

function show({ layer: number, unit, lit }) {
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
  picture.src = `/panels/deepvis/stream?width=1280&fps=15&at=${Date.now()}`;
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
