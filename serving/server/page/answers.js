"use strict";
// The outputs of a signature, each shown by its dtype and shape: text, tables, pictures and sound.

const MOST_ROWS = 1000;
const FOLDED_FROM = 20;

// TensorFlow Serving's JSON has NaN and Infinity, and integers that JavaScript would round: they become text.
function parseJson(text) {
  const tokens = /"(?:[^"\\]|\\.)*"|-?(?:NaN|Infinity|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g;
  const special = /^-?(?:NaN|Infinity|\d{16,})$/;
  return JSON.parse(text.replace(tokens, (found) => (special.test(found) ? `"${found}"` : found)));
}

function size(base64) {
  const bytes = (base64.length * 3) / 4;
  return bytes < 1000 ? `${Math.round(bytes)} bytes` : bytes < 1e6 ? `${Math.round(bytes / 1000)} KB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

// [type, whether it is sound] of the bytes that a file begins with.
function typeOf(base64) {
  const head = atob(base64.slice(0, 24));
  if (head.startsWith("\x89PNG")) return ["image/png", false];
  if (head.startsWith("\xff\xd8\xff")) return ["image/jpeg", false];
  if (head.startsWith("GIF8")) return ["image/gif", false];
  if (head.startsWith("RIFF") && head.slice(8, 12) === "WEBP") return ["image/webp", false];
  if (head.startsWith("RIFF")) return ["audio/wav", true];
  if (head.startsWith("OggS")) return ["audio/ogg", true];
  if (head.startsWith("fLaC")) return ["audio/flac", true];
  if (head.startsWith("ID3") || head.startsWith("\xff\xfb")) return ["audio/mpeg", true];
  return [null, false];
}

// Nodes that show the bytes of an image or a sound; any other file can be saved.
function media(base64, name) {
  const [type, sound] = typeOf(base64);
  const url = `data:${type ?? "application/octet-stream"};base64,${base64}`;
  if (sound) return [element("audio", { controls: true, src: url, ariaLabel: name })];
  if (type === null) return [element("a", { href: url, download: name.replace(/_bytes$/, "") }, `Save ${size(base64)}`)];
  const image = element("img", { src: url, alt: name });
  image.addEventListener("load", () => image.classList.toggle("tiny", image.naturalWidth < 128));
  return [image];
}

function numberText(value) {
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(6)));
}

function shapeOf(value) {
  const shape = [];
  for (let part = value; Array.isArray(part); part = part[0]) shape.push(part.length);
  return shape;
}

// Without `white`, the number of white, it is guessed from the numbers.
function picture(value, [height, width], name, white = null) {
  const canvas = element("canvas", { width, height, role: "img", ariaLabel: name, className: width < 128 ? "tiny" : "" });
  const flat = value.flat(Infinity);
  const least = white ? 0 : flat.reduce((low, number) => Math.min(low, number), 0);
  const most = white ?? flat.reduce((high, number) => Math.max(high, number), 0);
  white ??= most <= 1 ? 1 : most <= 255 ? 255 : most;
  const channels = flat.length / (width * height);
  const pixels = new ImageData(width, height);
  for (let index = 0; index < width * height; index++) {
    for (let channel = 0; channel < 3; channel++) {
      const number = flat[index * channels + (channels === 1 ? 0 : channel)];
      pixels.data[index * 4 + channel] = (255 * (number - least)) / (white - least);
    }
    pixels.data[index * 4 + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

function table(columns) {
  const rows = Math.max(...columns.map(({ value }) => value.length));
  const most = columns.map(({ value }) => (isShare(value) ? Math.max(...value) : 0));
  const head = element("tr", {}, element("th", { scope: "col" }, "#"), ...columns.map(({ name }) => element("th", { scope: "col" }, name)));
  const body = element("tbody");
  for (let row = 0; row < Math.min(rows, MOST_ROWS); row++) {
    const cells = columns.map(({ value }, column) => {
      const item = value[row];
      const cell = element("td", {}, cellText(item));
      if (most[column] > 0) {
        cell.className = "bar";
        cell.style.setProperty("--share", `${(100 * item) / most[column]}%`);
      }
      return cell;
    });
    body.append(element("tr", {}, element("td", {}, String(row)), ...cells));
  }
  const nodes = [element("div", { className: "table", tabIndex: 0 }, element("table", {}, element("thead", {}, head), body))];
  if (rows > MOST_ROWS) nodes.push(element("p", { className: "hint" }, `The first ${MOST_ROWS} of ${rows}.`));
  if (rows <= FOLDED_FROM) return nodes;
  return [element("details", { className: "folded" }, element("summary", {}, `${rows} values`), ...nodes)];
}

// A text in quotes if its ends would not be seen.
function cellText(item) {
  if (typeof item === "string") return item.trim() === item && item !== "" ? item : JSON.stringify(item);
  return Array.isArray(item) ? JSON.stringify(item) : numberText(item ?? "");
}

function isShare(value) {
  const all = value.every((item) => typeof item === "number" && item >= 0 && item <= 1);
  return all && value.length > 1 && Math.abs(value.reduce((sum, item) => sum + item, 0) - 1) < 0.01;
}

function shown(name, value) {
  if (value !== null && typeof value === "object" && typeof value.b64 === "string") return media(value.b64, name);
  if (typeof value === "string") return [element("p", { className: "text" }, value)];
  if (!Array.isArray(value)) return [element("p", { className: "number" }, numberText(value))];
  const shape = shapeOf(value);
  if (value.some((item) => typeof item?.b64 === "string")) return value.flatMap((item) => media(item.b64, name));
  const channels = shape[2] ?? 1;
  const isPicture = shape.length >= 2 && shape.length <= 3 && [1, 3].includes(channels) && Math.min(shape[0], shape[1]) >= 8;
  if (isPicture && typeof value.flat(Infinity)[0] === "number") return [picture(value, shape, name)];
  if (shape.length === 1) return table([{ name, value }]);
  const text = JSON.stringify(value);
  const cut = text.length > 4000 ? `${text.slice(0, 4000)} …` : text;
  return [element("p", { className: "hint" }, shape.join(" × ")), element("pre", { tabIndex: 0 }, cut)];
}

// Shows one row of the outputs, {name: value}; lists of one length stand next to each other in one table.
function showAnswer(outputs) {
  const isList = (value) => Array.isArray(value) && shapeOf(value).length === 1 && !value.some((item) => item?.b64);
  const groups = new Map();
  for (const [name, value] of Object.entries(outputs)) {
    const key = isList(value) ? `list of ${value.length}` : name;
    groups.set(key, [...(groups.get(key) ?? []), { name, value }]);
  }
  return [...groups.values()].map((columns) => {
    const title = element("h3", {}, columns.map(({ name }) => name).join(", "));
    const nodes = columns.length > 1 ? table(columns) : shown(columns[0].name, columns[0].value);
    return element("div", { className: "output" }, title, ...nodes);
  });
}
