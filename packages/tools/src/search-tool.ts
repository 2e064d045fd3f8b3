import type { Sandbox, Tool, ToolContext, ToolOutput } from '@baton-sdk/core'
import { defineTool } from '@baton-sdk/core'
import { exec } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import { failed, failureOf } from './failure.ts'
import { globFilter } from './glob-filter.ts'
import type { SearchEngine, SearchQuery } from './search-engine.ts'
import { searchEngine } from './search-engine.ts'
import type { SearchMatches } from './search-matches.ts'
import { searchMatches } from './search-matches.ts'
import { count, cutText } from './text.ts'
import { normalisePath, showPath, ToolPath } from './tool-paths.ts'
import { workspaceFiles } from './workspace-files.ts'

const defaultResults = 100
const maxLineLength = 400
/** Room for the remarks below the lines. */
const remarkBytes = 500

const SearchInput = z.strictObject({
  pattern: z.string().min(1).describe('Text to find within a line; a regular expression if regex is true'),
  path: ToolPath.optional().describe('File or folder to search. Default: the whole working folder'),
  glob: z.string().min(1).optional().describe('Only files that fit, as in .gitignore: *.ts, src/**/*.{ts,tsx}, !*.test.ts'),
  regex: z.boolean().default(false).describe('Take the pattern as a regular expression. Default: false'),
  ignoreCase: z.boolean().default(false).describe('Default: false'),
  maxResults: z.int().positive().max(1000).default(defaultResults).describe(`Most lines to show. Default: ${defaultResults}`),
})
type SearchInput = z.infer<typeof SearchInput>

/** A tool that finds lines in the sandbox's files, with ripgrep where that is installed there and grep otherwise. */
export function createSearchTool(): Tool<SearchInput, ToolOutput> {
  return defineTool({
    name: 'search',
    description:
      `Finds lines that contain a text or match a regular expression, shown as path:line: text, at most ${defaultResults} unless told otherwise. ` +
      'Leaves out what .gitignore names (unless path is such a folder) and binary files. Within single lines only.',
    input: SearchInput,
    effect: 'read',
    sources: ({ path }, output) => filesOf(output) ?? [`file:${normalisePath(path ?? '.')}`],
    paths: ({ path }) => [`${path ?? '.'}/`],
    async run(input, context) {
      if (/[\n\0]/.test(input.pattern)) return failed('The pattern has a line break or NUL in it; search looks within single lines.')
      const fits = input.glob === undefined ? () => true : globFilter(input.glob)
      if (fits === undefined) return failed('The braces of this glob stand for too many patterns.')
      const sandbox = await context.sandbox()
      const path = normalisePath(input.path ?? '.', sandbox.workdir)
      try {
        const { entries, kind, incomplete } = await workspaceFiles(sandbox, path, context.signal)
        if (kind === 'link') return failed(`${showPath(path)} is a symbolic link; give the path that it leads to.`)
        const files = entries.filter((entry) => entry.kind === 'file' && fits(entry.path)).map((entry) => entry.path)
        if (files.length === 0)
          return { text: `There is no file to search${input.glob === undefined ? '' : ` that fits ${input.glob}`} in ${showPath(path)}.` }
        const notes = incomplete ? ['[The folder is too large: not all of it was searched. Give a path]'] : []
        return await search(sandbox, input, files, notes, context)
      } catch (error) {
        return failureOf(error, path)
      }
    },
  })
}

async function search(
  sandbox: Sandbox,
  query: SearchInput,
  files: readonly string[],
  notes: readonly string[],
  context: ToolContext,
): Promise<ToolOutput> {
  const engine = await searchEngine(sandbox, context)
  if (engine === undefined) return failed('This sandbox has neither ripgrep nor grep; use shell.')
  const problem = await patternProblem(sandbox, engine, query, context)
  if (problem !== undefined) return failed(problem)
  const searchable = files.filter((file) => file.isWellFormed() && !file.includes('\n'))
  const skipped = files.length - searchable.length
  const found = await searchMatches(sandbox, engine, query, { files: searchable, maxMatches: query.maxResults, signal: context.signal })
  const left = skipped === 0 ? [] : [`[${count(skipped, 'file')} not searched, because of the characters in the name]`]
  return present(found, searchable.length, query, [...notes, ...left], context)
}

/** What is wrong with a regular expression, as the engine says; asked on an empty line (busybox looks at the expression only when there is one), so that it costs next to nothing. */
async function patternProblem(
  sandbox: Sandbox,
  engine: SearchEngine,
  query: SearchQuery,
  context: ToolContext,
): Promise<string | undefined> {
  const command = engine.command(query)
  if ('unsupported' in command)
    return `This sandbox has only a plain grep, which does not know ${command.unsupported}; write the regular expression without it.`
  const result = await exec(sandbox, [...command.argv, '-'], { input: '\n', env: command.env, timeoutMs: 20_000, signal: context.signal })
  if (result.exit.code === 0 || result.exit.code === 1) return undefined
  const reason = result.stderr.trim().replace(/^(rg|grep): /, '')
  if (query.regex)
    return `The pattern is no valid regular expression for ${engine.name}: ${cutText(reason, 1000)}\nTo find it as plain text, leave regex out.`
  throw new Error(`${engine.name} failed: ${reason}`)
}

function present(
  { matches, stopped }: SearchMatches,
  files: number,
  query: SearchInput,
  notes: readonly string[],
  { maxOutputBytes }: ToolContext,
): ToolOutput {
  const shown: string[] = []
  let bytes = 0
  for (const { path, line, text } of matches) {
    const row = `${showPath(path)}:${line}: ${cutText(text, maxLineLength)}`
    bytes += Buffer.byteLength(row) + 1
    if (bytes > maxOutputBytes - remarkBytes && shown.length > 0) break
    shown.push(row)
  }
  const all = [...notes]
  if (matches.length === 0) shown.push(`No match in ${count(files, 'file')}.`)
  if (shown.length < matches.length) all.push(`[${matches.length - shown.length} further matches left out, as the output was getting long]`)
  if (stopped === 'limit')
    all.push(`[Stopped after ${count(query.maxResults, 'match')}; there are more. Narrow it by path, glob or pattern]`)
  if (stopped === 'timeout') all.push('[Stopped after 60 seconds; not everything was searched]')
  return { text: [...shown, ...all].join('\n'), data: { files: [...new Set(matches.map(({ path }) => path))], matches: matches.length } }
}

function filesOf(output: ToolOutput | undefined): string[] | undefined {
  const data = output?.data
  if (typeof data !== 'object' || data === null || !('files' in data) || !Array.isArray(data.files)) return undefined
  return data.files.map((path) => `file:${path}`)
}
