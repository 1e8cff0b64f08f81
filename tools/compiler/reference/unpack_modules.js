// Writes the files that a package keeps as JavaScript modules: texts are bytes in base64, others JSON.
//
//     node unpack_modules.js FROM TO
const fs = require("fs");
const path = require("path");

const [from, to] = process.argv.slice(2).map((folder) => path.resolve(folder));
for (const file of fs.readdirSync(from)) {
    const content = require(path.join(from, file));
    const name = path.join(to, file.replace(/\.min\.js$/, ""));
    if (typeof content === "string") {
        fs.writeFileSync(name, Buffer.from(content, "base64"));
    } else {
        fs.writeFileSync(`${name}.json`, JSON.stringify(content));
    }
}
