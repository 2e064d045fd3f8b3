import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '..')
// Below node_modules, so that the unpacked packages find their dependencies as they would in an application.
const work = join(root, 'node_modules/.cache/check-packages')
const scope = join(work, 'node_modules/@baton-sdk')

interface Packed {
  name: string
  folder: string
  tarball: string
  files: string[]
}

async function pack(folder: string): Promise<Packed> {
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', work], { cwd: join(root, 'packages', folder) })
  const answer: unknown = JSON.parse(stdout)
  // npm 11 answers with a list; newer ones with an object by package name.
  const [packed] = Object.values(answer as Record<string, { name: string; filename: string; files: { path: string }[] }>)
  if (packed === undefined) throw new Error(`npm pack said nothing about ${folder}`)
  return { name: packed.name, folder, tarball: join(work, packed.filename), files: packed.files.map((file) => file.path) }
}

/** What a person who installs the package would miss, or would not want. */
function checkFiles({ name, folder, files }: Packed): string[] {
  const problems = ['README.md', 'LICENSE', 'package.json', 'dist/index.js', 'dist/index.d.ts']
    .filter((path) => !files.includes(path))
    .map((path) => `${name}: the package lacks ${path}`)
  const unwanted = files.filter((path) => /\.test(-d)?\.ts$|\.tgz$|(^|\/)\.env/.test(path))
  problems.push(...unwanted.map((path) => `${name}: the package contains ${path}`))
  if (files.includes('LICENSE')) {
    const licence = (path: string) => readFileSync(join(root, path), 'utf8')
    if (licence(`packages/${folder}/LICENSE`) !== licence('LICENSE')) problems.push(`${name}: LICENSE differs from the repository's`)
  }
  return problems
}

async function checkTool({ name }: Packed, command: string, ...args: string[]): Promise<string[]> {
  try {
    await run(command, args, { cwd: work, env: { ...process.env, NO_COLOR: '1' } })
    return []
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    return [`${name}: ${command} is not content\n${stdout}${stderr}`]
  }
}

/** Loads every entry point from the unpacked package, without the source condition, in a process of its own. */
async function checkImports({ name, folder }: Packed): Promise<string[]> {
  const { exports } = JSON.parse(readFileSync(join(scope, folder, 'package.json'), 'utf8'))
  const entries = Object.keys(exports).filter((path) => path !== './package.json')
  const source = entries.map((path) => `await import(${JSON.stringify(name + path.slice(1))})`).join('\n')
  try {
    await run(process.execPath, ['--input-type=module', '--eval', source], { cwd: work })
    return []
  } catch (error) {
    return [`${name}: cannot be imported\n${(error as { stderr: string }).stderr}`]
  }
}

rmSync(work, { recursive: true, force: true })
mkdirSync(work, { recursive: true })
const packages = await Promise.all(readdirSync(join(root, 'packages')).map(pack))
for (const { folder, tarball } of packages) {
  mkdirSync(join(scope, folder), { recursive: true })
  await run('tar', ['-xzf', tarball, '-C', join(scope, folder), '--strip-components=1'])
}
const problems: string[] = []
for (const packed of packages) {
  const found = await Promise.all([
    checkFiles(packed),
    checkTool(packed, 'publint', 'run', packed.tarball, '--strict'),
    checkTool(packed, 'attw', packed.tarball, '--profile', 'esm-only', '--no-emoji', '--exclude-entrypoints', './package.json'),
    checkImports(packed),
  ])
  problems.push(...found.flat())
}
for (const problem of problems) console.error(problem)
if (problems.length === 0) console.log(`${packages.length} packages: publint and attw are content, every entry point loads`)
process.exitCode = problems.length > 0 ? 1 : 0
