"use strict";
// Inputs that take pictures as numbers, of shape (any, height, width, channels): a file becomes the numbers.

const MOST_PIXELS = 1e6; // of a picture with a free size: the page would stand still while it makes numbers of more

// {height, width, channels, white, max_size} of the pictures that an input takes, or null if it takes none. A height or
// width of null is free, up to `max_size` unless that is null too.
function pictureFormatOf(input) {
  const { dtype, shape, values: [low, high], max_size } = input;
  if (shape?.length !== 4 || ![1, 3].includes(shape[3])) return null;
  const [, height, width, channels] = shape;
  const bounds = dtype === "uint8" && high === null ? "0 to 255" : `${low} to ${high}`;
  const white = { "0 to 255": 255, "0 to 1": isFloat(input) ? 1 : null }[bounds];
  return (isFloat(input) || dtype === "uint8") && white ? { height, width, channels, white, max_size } : null;
}

// The numbers of a file's pixels. Nothing is resized, cropped or made grey: the model would get another picture than
// the one that was chosen. Throws an Error if the picture does not fit.
async function numbersOf(file, name, { height, width, channels, white, max_size }) {
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(file, options).catch(() => {
    throw new Error(`${name} must be a picture. ${file.name} is none that the browser knows.`);
  });
  const wanted = (size) => size ?? (max_size === null ? "any" : `at most ${max_size}`);
  const fits = (size, pixels) => (size === null ? max_size === null || pixels <= max_size : pixels === size);
  const isFree = height === null || width === null;
  let must = null;
  if (!fits(width, bitmap.width) || !fits(height, bitmap.height)) must = `${wanted(width)} × ${wanted(height)}`;
  else if (isFree && bitmap.width * bitmap.height > MOST_PIXELS) must = `at most ${MOST_PIXELS.toLocaleString("en")}`;
  if (must) throw new Error(`${name} must have ${must} pixels. ${file.name} has ${bitmap.width} × ${bitmap.height}.`);
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const rows = [];
  for (let start = 0; start < data.length; start += 4) {
    const [red, green, blue, alpha] = data.subarray(start, start + 4);
    if (alpha < 255) throw new Error(`${name} must have no transparent pixels. ${file.name} has some.`);
    if (channels === 1 && (red !== green || green !== blue)) {
      throw new Error(`${name} must be grey, since it has one channel. ${file.name} has colours.`);
    }
    if (start % (4 * bitmap.width) === 0) rows.push([]);
    rows.at(-1).push([red, green, blue].slice(0, channels).map((number) => (white === 1 ? number / 255 : number)));
  }
  return rows;
}
