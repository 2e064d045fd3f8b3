import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { defineConfig } from 'tsup'

/** Every entry point of a package, from the source that its exports name beside `types` and `default`. */
function entries(folder: string): string[] {
  const manifest = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'))
  const sources = Object.values<string | Record<string, string>>(manifest.exports).flatMap((target) =>
    typeof target === 'string' ? [] : [`${folder}/${target['@baton-sdk/source']}`],
  )
  // tsup leaves out an entry that is missing, and says nothing as long as another one exists.
  for (const source of sources)
    if (!existsSync(source)) throw new Error(`${source} is in the exports of ${manifest.name}, but does not exist`)
  return sources
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
