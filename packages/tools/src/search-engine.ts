import type { Sandbox, ToolContext } from '@baton-sdk/core'
import { exec } from '@baton-sdk/core/plugin'
import type { PosixRegex } from './posix-regex.ts'
import { toPosixRegex } from './posix-regex.ts'

/** What is looked for. */
export interface SearchQuery {
  readonly pattern: string
  readonly regex: boolean
  readonly ignoreCase: boolean
}

/** A program in the sandbox that searches files. */
export interface SearchEngine {
  readonly name: 'ripgrep' | 'grep'
  /** Whether a NUL ends the file's name in its output. */
  readonly separates: boolean
  /** Its call, to which file names are added; or what this program cannot do. */
  command(
    query: SearchQuery,
  ): { readonly argv: readonly string[]; readonly env?: Readonly<Record<string, string>> } | { readonly unsupported: string }
}

const key = '@baton-sdk/tools/search-engine'
const marker = '--baton--'
const probe = `rg --version 2>/dev/null; echo ${marker}; grep --version 2>&1; echo ${marker}; echo a1 | grep -P '^a\\d' 2>/dev/null`

/** The engine of this sandbox: ripgrep where it is there, else grep in whatever form; undefined where there is neither. Found out once per sandbox. */
export async function searchEngine(sandbox: Sandbox, context: Pick<ToolContext, 'memory' | 'signal'>): Promise<SearchEngine | undefined> {
  const known = context.memory.get(key) as { sandboxId: string; engine: SearchEngine | undefined } | undefined
  if (known?.sandboxId === sandbox.id) return known.engine
  const result = await exec(sandbox, ['sh', '-c', probe], { signal: context.signal, timeoutMs: 20_000 })
  const [ripgrep = '', grep = '', perl = ''] = result.stdout.split(marker)
  const engine = ripgrep.includes('ripgrep') ? ripgrepEngine : grepEngine(grep, perl.includes('a1'))
  context.memory.set(key, { sandboxId: sandbox.id, engine })
  return engine
}

const ripgrepEngine: SearchEngine = {
  name: 'ripgrep',
  separates: true,
  command({ pattern, regex, ignoreCase }) {
    const options = [
      '--no-config',
      '--no-messages',
      '--color=never',
      '--no-heading',
      '--with-filename',
      '--line-number',
      '--null',
      '--threads=1',
    ]
    // The end of a longer line is not shown anyway.
    const bounds = ['--max-columns=8192', '--max-columns-preview']
    return {
      argv: [
        'rg',
        ...options,
        ...bounds,
        ignoreCase ? '--ignore-case' : '--case-sensitive',
        ...(regex ? [] : ['--fixed-strings']),
        `--regexp=${pattern}`,
      ],
    }
  },
}

function grepEngine(version: string, perl: boolean): SearchEngine | undefined {
  const full = /GNU grep|BSD grep/.test(version)
  if (!full && !/busybox|usage/i.test(version)) return undefined
  return {
    name: 'grep',
    separates: full,
    command({ pattern, regex, ignoreCase }) {
      const dialect: PosixRegex = regex && !perl ? toPosixRegex(pattern) : { pattern }
      if ('unsupported' in dialect) return dialect
      const kind = !regex ? '-F' : perl ? '-P' : '-E'
      // In the C locale no byte is an error, so that a file in Latin-1 counts as text; only folding other letters needs to know the encoding.
      const env = { LC_ALL: ignoreCase && /[^\0-\x7f]/.test(pattern) ? 'C.UTF-8' : 'C' }
      return {
        argv: [
          'grep',
          '-s',
          '-H',
          '-n',
          ...(full ? ['-I', '--null', '--color=never'] : []),
          ...(ignoreCase ? ['-i'] : []),
          kind,
          '-e',
          dialect.pattern,
        ],
        env,
      }
    },
  }
}
