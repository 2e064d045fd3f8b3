import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, relative, resolve, sep } from 'node:path'
import type { ModuleImport } from './module-imports.ts'
import { moduleImports, sourceFiles } from './module-imports.ts'

interface Manifest {
  name: string
  exports?: Record<string, unknown>
  dependencies?: Record<string, string>
  peerDependencies?: Record<string, string>
  devDependencies?: Record<string, string>
}

interface Workspace {
  folder: string
  manifest: Manifest
  /** Baton packages that it may use. */
  allowed: ReadonlySet<string>
}

const CORE = '@baton-sdk/core'

/**
 * Checks the packages of a repository against `core <- siblings <- examples` and returns what is wrong, one line each:
 * a package that imports or declares one it must not know, an import that its manifest does not declare,
 * a relative import that leaves the package, and rooms of core that import each other in a circle.
 */
export function checkDependencies(root: string): string[] {
  const rootManifest = readManifest(root)
  const packages = readdirSync(join(root, 'packages')).filter((name) => existsSync(join(root, 'packages', name, 'package.json')))
  const manifests = packages.map((name) => readManifest(join(root, 'packages', name)))
  const byName = new Map(manifests.map((manifest) => [manifest.name, manifest]))
  const workspaces = packages.map((name, index): Workspace => {
    const manifest = manifests[index] as Manifest
    return { folder: join(root, 'packages', name), manifest, allowed: new Set(manifest.name === CORE ? [] : [CORE]) }
  })
  if (existsSync(join(root, 'examples/package.json'))) {
    const folder = join(root, 'examples')
    workspaces.push({ folder, manifest: readManifest(folder), allowed: new Set(byName.keys()) })
  }

  const problems: string[] = []
  for (const workspace of workspaces) {
    problems.push(...checkManifest(root, workspace, byName))
    for (const file of sourceFiles(workspace.folder).filter((path) => !path.includes(`${sep}dist${sep}`))) {
      for (const found of moduleImports(file)) {
        const problem = checkImport(file, found, workspace, rootManifest, byName)
        if (problem !== undefined) problems.push(`${relative(root, file)}:${found.line}: ${problem}`)
      }
    }
  }
  problems.push(...checkRooms(join(root, 'packages/core/src')))
  return problems
}

function checkManifest(root: string, { folder, manifest, allowed }: Workspace, byName: ReadonlyMap<string, Manifest>): string[] {
  return Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies, ...manifest.devDependencies })
    .filter((name) => byName.has(name) && !allowed.has(name))
    .map((name) => `${relative(root, join(folder, 'package.json'))}: ${manifest.name} must not depend on ${name}`)
}

function checkImport(
  file: string,
  { specifier }: ModuleImport,
  { folder, manifest, allowed }: Workspace,
  rootManifest: Manifest,
  byName: ReadonlyMap<string, Manifest>,
): string | undefined {
  if (specifier.startsWith('.')) {
    const inside = !relative(folder, resolve(dirname(file), specifier)).startsWith('..')
    return inside ? undefined : `"${specifier}" leaves the package`
  }
  if (specifier.startsWith('node:')) return undefined
  if (isBuiltin(specifier)) return `write "node:${specifier}"`

  const name = packageName(specifier)
  const isTest = /\.test(-d)?\.ts$|\/examples\/testing\//.test(file)
  const target = byName.get(name)
  if (target !== undefined) {
    if (name === manifest.name) {
      if (!isTest) return `a package imports its own files by a relative path, not by "${specifier}"`
    } else if (!allowed.has(name)) return `${manifest.name} must not import ${name}`
    const subpath = `.${specifier.slice(name.length)}`
    if (target.exports !== undefined && !(subpath in target.exports)) return `${name} does not export "${subpath}"`
    if (name === manifest.name) return undefined
  }
  const declared = { ...manifest.dependencies, ...manifest.peerDependencies }
  if (isTest) Object.assign(declared, manifest.devDependencies, rootManifest.devDependencies)
  return name in declared ? undefined : `"${name}" is not declared in the package.json of ${manifest.name}`
}

/** A room is a folder of core's sources, or a file beside them. Types count too: rooms that need each other's types cannot be read apart. */
function checkRooms(source: string): string[] {
  const graph = new Map<string, Map<string, string>>()
  for (const file of sourceFiles(source).filter((path) => !/\.test(-d)?\.ts$/.test(path))) {
    const from = room(source, file)
    const edges = graph.get(from) ?? new Map<string, string>()
    graph.set(from, edges)
    for (const { specifier, line } of moduleImports(file)) {
      if (!specifier.startsWith('.')) continue
      const to = room(source, resolve(dirname(file), specifier))
      if (to !== from && !edges.has(to)) edges.set(to, `${relative(source, file)}:${line}`)
    }
  }
  return findCycles(graph).map((cycle) => {
    const steps = cycle.map((from, index) => {
      const to = cycle[(index + 1) % cycle.length] as string
      return `${from} -> ${to} (${graph.get(from)?.get(to)})`
    })
    return `packages/core/src: rooms import each other in a circle: ${steps.join(', ')}`
  })
}

function room(source: string, file: string): string {
  return relative(source, file).split(sep)[0] as string
}

/** One cycle for each edge that closes one, by depth-first search. */
function findCycles(graph: ReadonlyMap<string, ReadonlyMap<string, string>>): string[][] {
  const done = new Set<string>()
  const cycles: string[][] = []
  const visit = (node: string, path: string[]): void => {
    const start = path.indexOf(node)
    if (start >= 0) {
      cycles.push(path.slice(start))
      return
    }
    if (done.has(node)) return
    for (const next of graph.get(node)?.keys() ?? []) visit(next, [...path, node])
    done.add(node)
  }
  for (const node of graph.keys()) visit(node, [])
  return cycles
}

function packageName(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
}

if (process.argv[1] === import.meta.filename) {
  const problems = checkDependencies(resolve(import.meta.dirname, '..'))
  for (const problem of problems) console.error(problem)
  process.exitCode = problems.length > 0 ? 1 : 0
}
