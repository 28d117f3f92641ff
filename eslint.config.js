import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  // AssemblyScript is not TypeScript.
  globalIgnores(["dist", ".cache", "node_modules", ".venv", "out", "examples/wasm", "tests/wasm/modules"]),
  {
    files: ["**/*.ts", "**/*.tsx"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // Numbers in messages are readable as they are.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/no-floating-promises": [
        "error",
        { allowForKnownSafeCalls: [{ from: "package", name: "test", package: "node:test" }] },
      ],
      // Values of unions decide in switches; a default would hide a missing case.
      "no-restricted-syntax": [
        "error",
        {
          selector: "TSAsExpression > TSAsExpression > TSUnknownKeyword",
          message: "Parse it instead of casting through unknown.",
        },
      ],
    },
  },
  {
    files: ["web/src/**"],
    rules: {
      "no-restricted-globals": [
        "error",
        { name: "chrome", message: "Only extension/src may use chrome.*; take what is needed as a parameter." },
      ],
    },
  },
);
