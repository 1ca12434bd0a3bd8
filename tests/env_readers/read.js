// As read.sh, with npm's dotenv (whose folder is named) or with what node's own --env-file has set:
// read.js FILE NAMES [DOTENV]
const fs = require("node:fs");
const [file, names, dotenv] = process.argv.slice(2);
const read = () => {
  const found = require(dotenv).config({ path: file, processEnv: {}, quiet: true });
  if (found.error) throw found.error;
  return found.parsed;
};
const values = dotenv ? read() : process.env;
const lines = fs.readFileSync(names, "utf8").trimEnd().split("\n");
process.stdout.write(lines.map((name) => (name in values ? `=${values[name]}\0` : "-\0")).join(""));
