/** What every command inherits from the host. A name may end in `*`. Keys, tokens and all else do not pass unless they are named. */
export const inheritedNames: readonly string[] = ['PATH', 'LANG', 'LANGUAGE', 'LC_*', 'TZ', 'TERM', 'USER', 'LOGNAME']

/** The part of an environment whose names are listed. */
export function pickEnvironment(environment: NodeJS.ProcessEnv, names: readonly string[]): Record<string, string> {
  const picked: Record<string, string> = {}
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && names.some((listed) => matches(name, listed))) picked[name] = value
  }
  return picked
}

function matches(name: string, listed: string): boolean {
  return listed.endsWith('*') ? name.startsWith(listed.slice(0, -1)) : name === listed
}
