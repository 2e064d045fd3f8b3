import { readdirSync, readFileSync } from 'node:fs'
import { defineConfig } from 'tsup'

/** Every `types` target of a package's exports is built from the source that stands beside it under `@baton-sdk/source`. */
function entries(folder: string): string[] {
  const manifest = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'))
  return Object.values<string | Record<string, string>>(manifest.exports).flatMap((target) =>
    typeof target === 'string' ? [] : [`${folder}/${target['@baton-sdk/source']}`],
  )
}

export default defineConfig(
  readdirSync('packages').map((name) => ({
    name,
    entry: entries(`packages/${name}`),
    outDir: `packages/${name}/dist`,
    format: 'esm' as const,
    platform: 'node' as const,
    target: 'node22.13',
    dts: true,
    sourcemap: true,
    clean: true,
    treeshake: false,
    skipNodeModulesBundle: true,
    silent: true,
  })),
)
