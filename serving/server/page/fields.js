"use strict";
// The form of a signature: a field for each input, made from its name, dtype and shape.

// What people know as a slider: [least, most, step], by the end of the input's name.
const RANGES = { temperature: [0, 2, 0.05], top_p: [0, 1, 0.01], probability: [0, 1, 0.01], threshold: [0, 1, 0.01] };

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children); // text, never markup: a model's words are not trusted
  return made;
}

function kindOf(input) {
  if (input.shape === null || input.shape.length === 0) return "data";
  if (input.shape.length > 1) return "data";
  if (input.dtype === "string") return input.name.endsWith("_bytes") ? "file" : "text";
  if (input.dtype === "bool") return "check";
  const range = Object.keys(RANGES).find((end) => input.name.endsWith(end));
  return range && input.dtype.startsWith("float") ? "slider" : "number";
}

function shapeText(input) {
  if (input.shape === null) return `${input.dtype}, any shape`;
  const sizes = input.shape.slice(1).map((size) => size ?? "any");
  return sizes.length ? `${input.dtype}, ${sizes.join(" × ")}` : input.dtype;
}

// Each maker returns {nodes, get, set}: `get` gives the JSON of one row, and throws an Error for what is none.
const MAKERS = {
  text(input, id) {
    const area = element("textarea", { id, rows: 3, spellcheck: false });
    return { nodes: [area], get: () => JSON.stringify(area.value), set: (value) => (area.value = plain(value)) };
  },

  number(input, id) {
    const whole = !input.dtype.startsWith("float");
    const box = element("input", { id, type: "text", inputMode: whole ? "numeric" : "decimal", value: "0" });
    const get = () => {
      const text = box.value.trim();
      const wanted = whole ? /^-?\d+$/ : /^-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
      if (!wanted.test(text)) throw new Error(`${input.name} must be a ${whole ? "whole " : ""}number.`);
      // As it was typed: JavaScript would round integers beyond 2^53.
      return whole ? text.replace(/^(-?)0+(?=\d)/, "$1") : JSON.stringify(Number(text));
    };
    return { nodes: [box], get, set: (value) => (box.value = String(value)) };
  },

  slider(input, id) {
    const [min, max, step] = RANGES[Object.keys(RANGES).find((end) => input.name.endsWith(end))];
    const number = MAKERS.number(input, id);
    const box = number.nodes[0];
    box.value = "1";
    const bar = element("input", { type: "range", min, max, step, value: 1, ariaLabel: `${input.name}, slider` });
    bar.addEventListener("input", () => { box.value = bar.value; });
    box.addEventListener("input", () => { bar.value = box.value; });
    const set = (value) => { number.set(value); bar.value = value; };
    return { nodes: [element("div", { className: "slider" }, bar, box)], get: number.get, set };
  },

  check(input, id) {
    const box = element("input", { id, type: "checkbox" });
    return { nodes: [box], get: () => JSON.stringify(box.checked), set: (value) => (box.checked = Boolean(value)) };
  },

  file(input, id) {
    let bytes = null;
    const preview = element("div", { className: "preview" });
    const chooser = element("input", { id, type: "file" });
    if (/image|picture|photo/.test(input.name)) chooser.accept = "image/*";
    if (/audio|sound|speech|wav/.test(input.name)) chooser.accept = "audio/*";
    const show = (name) => {
      const note = element("p", { className: "kind" }, name ? `${name}, ${size(bytes)}` : `The example, ${size(bytes)}`);
      preview.replaceChildren(...media(bytes, input.name), note);
    };
    chooser.addEventListener("change", async () => {
      if (!chooser.files.length) return;
      bytes = toBase64(new Uint8Array(await chooser.files[0].arrayBuffer()));
      show(chooser.files[0].name);
      chooser.dispatchEvent(new Event("ready", { bubbles: true }));
    });
    const get = () => {
      if (bytes === null) throw new Error(`${input.name} needs a file.`);
      return JSON.stringify({ b64: bytes });
    };
    // For the line in a shell: the name of the file in place of its content.
    const file = () => (chooser.files.length ? chooser.files[0].name : null);
    const set = (value) => {
      bytes = value?.b64 ?? toBase64(new TextEncoder().encode(plain(value)));
      chooser.value = "";
      show(null);
    };
    return { nodes: [chooser, preview], get, set, file };
  },

  data(input, id) {
    const area = element("textarea", { id, rows: 3, spellcheck: false, className: "data" });
    const get = () => {
      try {
        JSON.parse(area.value);
      } catch {
        throw new Error(`${input.name} must be JSON, such as [1, 2, 3].`);
      }
      return area.value.trim();
    };
    return { nodes: [area], get, set: (value) => (area.value = JSON.stringify(value)) };
  },
};

function plain(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function makeField(input, number) {
  const kind = kindOf(input);
  const id = `field-${number}`;
  const field = { ...MAKERS[kind](input, id), input, kind };
  const label = element("label", { htmlFor: id }, `${input.name} `, element("span", { className: "kind" }, shapeText(input)));
  field.node = element("div", { className: "field" }, label, ...field.nodes);
  field.wide = !["number", "slider", "check"].includes(kind);
  return field;
}

function toBase64(bytes) {
  let text = "";
  for (let start = 0; start < bytes.length; start += 32768) {
    text += String.fromCharCode(...bytes.subarray(start, start + 32768));
  }
  return btoa(text);
}
