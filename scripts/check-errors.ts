import { existsSync, readFileSync } from 'node:fs'
import { join, relative, resolve, sep } from 'node:path'
import ts from 'typescript'
import { sourceFiles } from './module-imports.ts'

const union = 'packages/core/src/errors.ts'
const page = 'docs/reference/errors.md'

/**
 * Checks that each error code is explained in docs/reference/errors.md, thrown somewhere in the sources, and named in a test; and that the
 * page has no other codes. Returns what is wrong, one line each.
 */
export function checkErrors(root: string): string[] {
  const codes = codesOf(join(root, union))
  const explained = explainedCodes(join(root, page))
  const { thrown, tested } = usesOf(root)
  return [
    ...codes.flatMap((code) => [
      ...(explained.includes(code) ? [] : [`${page}: ${code} is not explained`]),
      ...(thrown.has(code) ? [] : [`${union}: ${code} is thrown nowhere`]),
      ...(tested.has(code) ? [] : [`${union}: ${code} is named in no test`]),
    ]),
    ...explained.filter((code) => !codes.includes(code)).map((code) => `${page}: there is no code ${code}`),
    ...explained.filter((code, index) => explained.indexOf(code) !== index).map((code) => `${page}: ${code} is explained twice`),
  ]
}

/** The members of the type `BatonErrorCode`. */
function codesOf(file: string): string[] {
  const codes: string[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isTypeAliasDeclaration(node) && node.name.text === 'BatonErrorCode' && ts.isUnionTypeNode(node.type)) {
      for (const member of node.type.types)
        if (ts.isLiteralTypeNode(member) && ts.isStringLiteral(member.literal)) codes.push(member.literal.text)
    }
    ts.forEachChild(node, visit)
  }
  visit(parse(file))
  if (codes.length === 0) throw new Error(`${file}: found no codes in BatonErrorCode`)
  return codes
}

/** First cells of the page's first table. */
function explainedCodes(file: string): string[] {
  if (!existsSync(file)) return []
  const [first = ''] = readFileSync(file, 'utf8').split(/^## /m)
  return [...first.matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1] as string)
}

/** String literals in the sources: what makes errors, and what tests expect. Conformance suites are tests that are published. */
function usesOf(root: string): { thrown: ReadonlySet<string>; tested: ReadonlySet<string> } {
  const uses = { thrown: new Set<string>(), tested: new Set<string>() }
  for (const file of sourceFiles(join(root, 'packages'))) {
    const path = relative(root, file).split(sep).join('/')
    if (path === union || path.includes('/dist/')) continue
    const isTest = /\.test(-d)?\.ts$|\/src\/testing\/(test-[^/]+|[^/]+-tests)\.ts$/.test(path)
    const visit = (node: ts.Node): void => {
      if (ts.isStringLiteralLike(node) && (isTest || (!isComparison(node) && !path.includes('/src/testing/'))))
        uses[isTest ? 'tested' : 'thrown'].add(node.text)
      ts.forEachChild(node, visit)
    }
    visit(parse(file))
  }
  return uses
}

/** Whether a literal only asks for a code: in `isInstance(error, code)`, in `code === …`, in a list, or as a type. */
function isComparison(node: ts.StringLiteralLike): boolean {
  const { parent } = node
  if (ts.isCallExpression(parent)) return parent.expression.getText().endsWith('isInstance')
  const compares = ts.isBinaryExpression(parent) && /^[!=]==?$/.test(parent.operatorToken.getText())
  return compares || ts.isArrayLiteralExpression(parent) || ts.isLiteralTypeNode(parent) || ts.isCaseClause(parent)
}

function parse(file: string): ts.SourceFile {
  return ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true)
}

if (process.argv[1] === import.meta.filename) {
  const problems = checkErrors(resolve(import.meta.dirname, '..'))
  for (const problem of problems) console.error(problem)
  process.exitCode = problems.length > 0 ? 1 : 0
}
