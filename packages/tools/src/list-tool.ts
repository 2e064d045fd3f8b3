import type { Tool, ToolOutput } from '@baton-sdk/core'
import { defineTool } from '@baton-sdk/core'
import { z } from 'zod'
import { failed, failureOf } from './failure.ts'
import { count } from './text.ts'
import { folderOf, normalisePath, showPath, ToolPath } from './tool-paths.ts'
import type { WorkspaceEntry } from './workspace-files.ts'
import { workspaceFiles } from './workspace-files.ts'

const defaultDepth = 2
/** Most entries that one answer shows. */
const maxShown = 400
/** Most entries that are shown of one folder. */
const maxPerFolder = 100

const ListInput = z.strictObject({
  path: ToolPath.optional().describe('Folder to list. Default: the working folder'),
  depth: z.int().min(1).max(20).default(defaultDepth).describe(`How many levels to show. Default: ${defaultDepth}`),
})

/** A tool that lists the sandbox's files as a tree, without what git ignores. */
export function createListTool(): Tool<z.infer<typeof ListInput>, ToolOutput> {
  return defineTool({
    name: 'list',
    description:
      `Lists files and folders as an indented tree, ${defaultDepth} levels deep unless told otherwise; a folder that is not opened shows how many files are in it. ` +
      `At most ${maxShown} entries, ${maxPerFolder} of each folder. Leaves out .git and what .gitignore names, unless path is such a folder.`,
    input: ListInput,
    effect: 'read',
    sources: ({ path }) => [`file:${normalisePath(path ?? '.')}`],
    paths: ({ path }) => [`${path ?? '.'}/`],
    async run(input, context) {
      const sandbox = await context.sandbox()
      const path = normalisePath(input.path ?? '.', sandbox.workdir)
      try {
        const { entries, kind, filtered, incomplete } = await workspaceFiles(sandbox, path, context.signal)
        if (kind !== 'folder') return failed(`${showPath(path)} is a ${kind === 'link' ? 'symbolic link' : kind}, not a folder.`)
        const tree = createTree(entries)
        const shown = chooseShown(tree, path, input.depth)
        const notes = [
          ...(filtered ? [] : ['[git ignores this folder; everything in it is counted]']),
          ...(incomplete
            ? [`[Too large to look at all of it: counted up to ${count(entries.length, 'entry')}]`.replace('entrys', 'entries')]
            : []),
        ]
        const header = `${showPath(path)}${path === '.' ? '' : '/'} (${count(tree.fileCount(path), 'file')})`
        return { text: [header, ...render(tree, shown, path, 1), ...notes].join('\n'), data: { path, entries: shown.size } }
      } catch (error) {
        return failureOf(error, path)
      }
    },
  })
}

interface Tree {
  children(folder: string): readonly WorkspaceEntry[]
  /** Files and links at any depth below. */
  fileCount(folder: string): number
}

function createTree(entries: readonly WorkspaceEntry[]): Tree {
  const children = new Map<string, WorkspaceEntry[]>()
  const counts = new Map<string, number>()
  for (const entry of entries) {
    const folder = folderOf(entry.path)
    const siblings = children.get(folder)
    if (siblings === undefined) children.set(folder, [entry])
    else siblings.push(entry)
    if (entry.kind === 'folder') continue
    for (let above = folder; ; above = folderOf(above)) {
      counts.set(above, (counts.get(above) ?? 0) + 1)
      if (above === '.') break
    }
  }
  return { children: (folder) => children.get(folder) ?? [], fileCount: (folder) => counts.get(folder) ?? 0 }
}

/** Which entries fit, level by level, so that a large folder never hides its neighbours. */
function chooseShown(tree: Tree, path: string, depth: number): ReadonlySet<string> {
  const shown = new Set<string>()
  let level = [path]
  for (let at = 0; at < depth; at++) {
    const next: string[] = []
    for (const folder of level) {
      for (const entry of tree.children(folder).slice(0, maxPerFolder)) {
        if (shown.size === maxShown) return shown
        shown.add(entry.path)
        if (entry.kind === 'folder') next.push(entry.path)
      }
    }
    level = next
  }
  return shown
}

function render(tree: Tree, shown: ReadonlySet<string>, folder: string, level: number): string[] {
  const indent = '  '.repeat(level)
  const children = tree.children(folder)
  const visible = children.filter((entry) => shown.has(entry.path))
  const left = children.length - visible.length
  const lines = visible.flatMap((entry) => {
    const name = showPath(entry.path.slice(entry.path.lastIndexOf('/') + 1))
    if (entry.kind !== 'folder')
      return [`${indent}${name}${entry.kind === 'link' ? ' (symbolic link)' : entry.kind === 'other' ? ' (no regular file)' : ''}`]
    const inside = tree.children(entry.path)
    const opened = inside.some((child) => shown.has(child.path))
    if (opened) return [`${indent}${name}/`, ...render(tree, shown, entry.path, level + 1)]
    return [`${indent}${name}/ (${count(tree.fileCount(entry.path), 'file')})`]
  })
  return left === 0 ? lines : [...lines, `${indent}… ${left.toLocaleString('en-US')} more`]
}
