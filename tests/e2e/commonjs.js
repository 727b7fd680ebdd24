// `require` for packages that were written for a bundler. `files` are their sources by path, `imports` says for each
// which path a name in it stands for.
"use strict";
window.makeRequire = ({ files, imports }) => {
    const process = { env: { NODE_ENV: "production" } };
    const modules = {};

    function load(path) {
        if (path.endsWith(".css")) {
            const style = document.createElement("style");
            style.textContent = files[path];
            document.head.append(style);
            return {};
        }
        if (!modules[path]) {
            const module = modules[path] = { exports: {} }; // before it runs: modules may import each other
            const run = new Function("require", "module", "exports", "process", files[path]);
            run(requireFor(path), module, module.exports, process);
        }
        return modules[path].exports;
    }

    const requireFor = path => name => {
        if (name.startsWith("core-js/")) return {}; // polyfills of what every browser of today has
        if (!imports[path][name]) throw new Error(`${path} imports ${name}, which is not there`);
        return load(imports[path][name]);
    };

    return requireFor("");
};
