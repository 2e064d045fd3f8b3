// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references in shells and templates, quoted.
import type { LookAlike } from './corpus.ts'

/** Texts that look as if they held a secret and hold none; the part that the rules were tuned on. */
export const lookAlikes: readonly LookAlike[] = [
  // Placeholders and references
  ['env example', () => 'API_KEY=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\nPASSWORD=<your-password>\nTOKEN=REPLACE_ME\n'],
  ['env example', () => 'SECRET_KEY=insert-your-secret-key-here\nDB_PASSWORD=changeme123\nAPI_TOKEN=...\n'],
  [
    'env example',
    () => `STRIPE_SECRET_KEY=${'sk'}_live_xxxxxxxxxxxxxxxxxxxxxxxx\nGITHUB_TOKEN=${'gh'}p_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n`,
  ],
  ['env example', () => `OPENAI_API_KEY=${'sk'}-your-openai-api-key-goes-here-1234567890\nANTHROPIC_API_KEY=${'sk'}-ant-...\n`],
  ['env reference', () => 'TOKEN=${TOKEN:?missing}\nPASS=$(cat /run/secrets/db_password)\nKEY=`openssl rand -hex 32`\n'],
  [
    'url placeholder',
    () => 'postgres://user:pass@localhost/db and redis://:password@redis:6379 and https://user:token@example.com/repo.git\n',
  ],
  [
    'url reference',
    () => 'mongodb://${MONGO_USER}:${MONGO_PASSWORD}@mongo:27017 https://x:$TOKEN@github.com/a/b postgres://{user}:{password}@{host}/db\n',
  ],
  ['url with a port and an at', () => 'https://acme.example:8080/users/@anna and http://localhost:3000/@fs/src/app.ts\n'],
  [
    'curl in docs',
    () =>
      'curl -u USERNAME:PASSWORD https://acme.example\ncurl -H "Authorization: Bearer <token>" https://acme.example\ncurl -H "Authorization: Bearer $TOKEN"\n',
  ],
  ['curl in docs', () => 'curl -H "Authorization: Bearer YOUR_ACCESS_TOKEN_GOES_HERE_12345" -H "X-Api-Key: {apiKey}" https://a\n'],
  ['aws docs', () => `AWS_ACCESS_KEY_ID=${'AK'}IAIOSFODNN7EXAMPLE\nAWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n`],
  ['jwt in docs', () => 'The token looks like eyJhbGciOi...<payload>...<signature>, or `eyJ0eXAi.xxx.yyy`.\n'],
  ['masked log', () => '::add-mask::***\nLogging in with password *** and token [REDACTED]\nAuthorization: Bearer ****\n'],
  ['masked log', () => 'apiKey=sk_live_...4242 password=<hidden> secret=(sensitive value) token=abcd****wxyz\n'],
  [
    'terraform',
    () => 'password = data.aws_secretsmanager_secret_version.db.secret_string\ntoken = var.github_token\nsecret = local.secrets["api"]\n',
  ],
  [
    'terraform plan',
    () =>
      '  + password = (sensitive value)\n  + secret_key = (known after apply)\n  ~ key_id = "alias/shop-main-2026" -> (known after apply)\n',
  ],
  [
    'cloudformation',
    () =>
      "MasterUserPassword: !Sub '{{resolve:secretsmanager:${Secret}::password}}'\nApiKey: !Ref ApiKeyParameter\nToken: !GetAtt Auth.Token\n",
  ],
  ['github actions', () => 'with:\n  token: ${{ secrets.RELEASE_PAT }}\n  password: ${{ steps.login.outputs.password }}\n'],
  ['azure pipelines', () => '- script: deploy\n  env:\n    API_KEY: $(ApiKeySecret)\n    PASSWORD: $[variables.pw2026]\n'],
  ['helm', () => 'auth:\n  existingSecret: shop-postgresql-credentials-v2\n  secretKeys:\n    adminPasswordKey: postgres-password\n'],
  [
    'k8s',
    () => 'tokenReviewer: true\nserviceAccountToken:\n  path: vault-token\n  audience: https://kubernetes.default.svc.cluster.local\n',
  ],
  [
    'vault ref',
    () =>
      'password: vault:secret/data/shop#db_password2\ntoken: op://Private/github/token1\nkey: arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab\n',
  ],
  ['sops', (r) => `password: ENC[AES256_GCM,data:${r.base64(20)},iv:${r.base64(43)}=,tag:${r.base64(22)}==,type:str]\n`],
  ['sealed secret', (r) => `kind: SealedSecret\nspec:\n  encryptedData:\n    password: AgB${r.base64(400)}=\n`],
  ['ansible vault', (r) => `db_password: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  ${r.digits(80)}\n`],
  ['pulumi secure', (r) => `config:\n  shop:dbPassword:\n    secure: AAABA${r.base64(60)}==\n`],
  // Code about secrets
  ['typescript', () => 'function rotate(secret: string, token?: string): Promise<Password> { return vault.rotate(secret, token) }\n'],
  [
    'typescript',
    () => "const password = this.form.get('password')!.value\nconst token = await getToken({ audience: 'https://api.acme.example/v2' })\n",
  ],
  ['typescript', () => "export const TOKEN_STORAGE_KEY = 'acme.auth.access-token.v2'\nexport const SECRET_HEADER = 'x-acme-secret-2024'\n"],
  ['typescript', () => 'if (password !== confirmPassword) throw new Error(`password: too short, at least ${min} characters`)\n'],
  [
    'typescript',
    () => "enum TokenKind { OpenParen = 'open-paren-1', CloseParen = 'close-paren-2' }\ntype Secret = { secretName: 'db/main/2026' }\n",
  ],
  [
    'javascript',
    () =>
      "localStorage.setItem('token', response.data.accessToken)\nheaders.Authorization = `Bearer ${token}`\naxios.defaults.headers['X-CSRF-Token'] = csrf\n",
  ],
  [
    'javascript',
    () => 'const { API_KEY, apiSecret = defaults.apiSecret } = require("./config");module.exports.token = token => token.value\n',
  ],
  ['jsx', () => '<PasswordField key={`password-${index}`} label="Current password" secret={showSecret} tokenId={item.token_id} />\n'],
  [
    'python',
    () =>
      'def connect(password: str = "", token: Optional[str] = None, secret=settings.SECRET_KEY):\n    return Client(api_key=api_key, password=password)\n',
  ],
  [
    'python',
    () =>
      'api_key = config["api_key"]\ntoken = request.headers.get("X-Auth-Token")\nsecret = secrets.token_urlsafe(32)\npassword = make_password("x")\n',
  ],
  [
    'python',
    () =>
      'parser.add_argument("--password", help="password: read from stdin when absent", default=None)\nparser.add_argument("--api-key", metavar="KEY1")\n',
  ],
  [
    'go',
    () => 'token, err := auth.NewToken(ctx, secret)\nif password == "" { return ErrNoPassword }\nkey := []byte(os.Getenv("SIGNING_KEY"))\n',
  ],
  [
    'java',
    () => 'String password = System.getenv("DB_PASSWORD");\nString apiKey = props.getProperty("api.key.v2");\nthis.secret = secret;\n',
  ],
  [
    'csharp',
    () =>
      'var secret = Configuration["Auth:ClientSecret"];\npublic string Password { get; set; } = string.Empty;\nvar token = await _tokens.GetAsync(userId2);\n',
  ],
  ['ruby', () => "password = ENV.fetch('DB_PASSWORD')\nhas_secure_password\nvalidates :password, length: { minimum: 12 }\n"],
  [
    'php',
    () => "$password = $_POST['password'];\n$token = bin2hex(random_bytes(32));\n$hash = password_hash($password, PASSWORD_ARGON2ID);\n",
  ],
  [
    'rust',
    () => 'let token = std::env::var("TOKEN")?;\npub struct Secret<T>(T);\nlet key: SigningKey = SigningKey::generate(&mut OsRng);\n',
  ],
  ['c', () => '#define TOKEN_STRING_LITERAL 258\nstatic const char *password_prompt = "Password for user1: ";\nint key = KEY_LEFTCTRL;\n'],
  [
    'sql',
    () =>
      "SELECT u.id, u.password_hash, t.token FROM users u JOIN tokens t ON t.user_id = u.id WHERE t.secret = $1 AND key = 'orders_2026'\n",
  ],
  [
    'graphql',
    () => 'mutation Login($password: String!, $token: String) { login(password: $password, token: $token) { accessToken refreshToken } }\n',
  ],
  ['bash', () => 'read -rs -p "Password: " PASSWORD\nTOKEN=$(curl -s "$URL/token" | jq -r .access_token)\n[ -z "$SECRET" ] && exit 1\n'],
  [
    'makefile',
    () =>
      'deploy:\n\t@docker login -u $(USER) --password $(PASSWORD) $(REGISTRY)\n\t@kubectl create secret generic api --from-literal=key=$$KEY\n',
  ],
  ['test names', () => "describe('token: refresh', () => { it('password=wrong is refused with 401', () => {}) })\n"],
  [
    'test values',
    () => "const password = 'test1234'\nconst token = 'fake-token-1'\nconst secret = 'my-secret'\nconst apiKey = 'some_api_key'\n",
  ],
  ['test values', () => "expect(parse('password=hunter2')).toEqual({ password: 'hunter2' })\nmock.token = 'abc123'\n"],
  [
    'translations',
    () =>
      'password.label=Password\npassword.hint=At least 8 characters\npassword.reset.title=Reset your password\ntoken.invalid=Invalid token\n',
  ],
  [
    'translations',
    () => '{"login.password":"Mot de passe","login.secret":"Question secrète","api.key":"Clé API","token.expired":"Jeton expiré"}',
  ],
  [
    'markdown',
    () =>
      '| `password` | string | required | The password: 12 characters or more |\n| `apiKey` | string | optional | See [keys](/docs/api-keys-v2) |\n',
  ],
  [
    'prose',
    () => 'A secret: something you know. Passwords: long ones. The key = understanding. Token: a unit of text, about 4 characters.\n',
  ],
  ['prose', () => 'The password is required. The token is expired. Your secret is safe; the key is under the mat-number-7.\n'],
  [
    'http docs',
    () =>
      'WWW-Authenticate: Bearer realm="acme", error="invalid_token", error_description="The access token expired"\nAuthorization: Basic realm\n',
  ],
  ['cors', () => 'Access-Control-Allow-Headers: Authorization, X-Api-Key, X-CSRF-Token, X-Requested-With-2\n'],
  ['cookie docs', () => 'Set-Cookie: theme=dark; Path=/; SameSite=Lax\nSet-Cookie: session=; Max-Age=0\n'],
  // Hashes, ids, encoded content
  [
    'package lock',
    (r) => `"integrity": "sha512-${r.base64(86)}==",\n"token-types": { "version": "5.0.1", "integrity": "sha512-${r.base64(86)}==" }\n`,
  ],
  ['yarn berry lock', (r) => `"api-key@npm:^1.0.0":\n  version: 1.0.0\n  checksum: 10c0/${r.hex(128)}\n  languageName: node\n`],
  [
    'poetry lock',
    (r) =>
      `[[package]]\nname = "keyring"\nfiles = [\n  {file = "keyring-25.5.0-py3-none-any.whl", hash = "sha256:${r.hex(64)}"},\n]\n[metadata]\ncontent-hash = "${r.hex(64)}"\n`,
  ],
  ['pipfile lock', (r) => `{"_meta":{"hash":{"sha256":"${r.hex(64)}"}},"default":{"secretstorage":{"hashes":["sha256:${r.hex(64)}"]}}}`],
  ['gemfile lock', (r) => `GIT\n  remote: https://github.com/acme/token_auth.git\n  revision: ${r.hex(40)}\n`],
  [
    'nix',
    (r) =>
      `fetchFromGitHub { owner = "acme"; repo = "keys"; rev = "${r.hex(40)}"; sha256 = "${r.lower(52)}"; hash = "sha256-${r.base64(43)}="; }\n`,
  ],
  ['bazel', (r) => `http_archive(name = "token", sha256 = "${r.hex(64)}", urls = ["https://a/${r.hex(40)}.zip"])\n`],
  ['git', (r) => `tree ${r.hex(40)}\nparent ${r.hex(40)}\nauthor bot\n\nkey: ${r.hex(40)}\n`],
  ['git log oneline', (r) => `${r.hex(9)} fix: token refresh\n${r.hex(9)} feat: password=hidden in logs\n`],
  ['submodule', (r) => `-Subproject commit ${r.hex(40)}\n+Subproject commit ${r.hex(40)}\n`],
  ['checksums', (r) => `${r.hex(64)}  token-2.1.tar.gz\n${r.hex(128)}  secret-tool.deb\n${r.hex(32)} *key.bin\n`],
  ['docker', (r) => `Digest: sha256:${r.hex(64)}\nsha256:${r.hex(64)}: Pull complete\n ---> ${r.hex(12)}\n`],
  ['uuid', (r) => `{"apiKeyId":"${r.uuid()}","tokenId":"${r.uuid()}","tenant":"${r.uuid()}"}`],
  ['uuid as key', (r) => `idempotency_key = "${r.uuid()}"\nIdempotency-Key: ${r.uuid()}\nsecret: ${r.uuid()}\n`],
  ['etag and request ids', (r) => `ETag: W/"${r.base62(27)}"\nX-Request-Id: ${r.hex(32)}\ntraceparent: 00-${r.hex(32)}-${r.hex(16)}-01\n`],
  ['cache key', (r) => `cacheKey: '${r.hex(40)}',\ncache_key="linux-x64-${r.hex(32)}"\n"queryHash": "${r.hex(32)}"\n`],
  [
    'public keys',
    (r) => `publicKey: "${r.base64(43)}="\nVAPID_PUBLIC_KEY=B${r.base64url(86)}\nNEXT_PUBLIC_STRIPE_KEY=pk_live_${r.base62(24)}\n`,
  ],
  ['recaptcha site key', (r) => `<div class="g-recaptcha" data-sitekey="6L${r.base64url(38)}"></div>\n`],
  ['ssh public key', (r) => `ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ${r.base64(330)}== anna\n`],
  ['ssh fingerprint', (r) => `256 SHA256:${r.base64(43)} deploy (ED25519)\nkey fingerprint = ${r.hex(40).toUpperCase()}\n`],
  ['certificate', (r) => `${r.pem('CERTIFICATE', 20)}\n${r.pem('CERTIFICATE REQUEST', 8)}\n`],
  ['public pem', (r) => `key: |\n  ${r.pem('RSA PUBLIC KEY', 6, '\n  ')}\n`],
  ['pgp message', (r) => `${r.pem('PGP SIGNED MESSAGE', 2)}\n${r.pem('PGP SIGNATURE', 4)}\n`],
  [
    'pem in code',
    () =>
      "if (text.startsWith('-----BEGIN RSA PRIVATE KEY-----')) return parse(text)\nconst marker = `-----BEGIN ${label} PRIVATE KEY-----`\n",
  ],
  ['pem placeholder', () => '-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n'],
  ['data uri', (r) => `src: url(data:font/woff2;base64,d09GMgABAAAAA${r.base64(600)}) format("woff2");\n`],
  ['base64 blob', (r) => `const wasm = "AGFzbQEAAAAB${r.base64(500)}";\nconst key = wasm\n`],
  ['sourcemap', (r) => `//# sourceMappingURL=data:application/json;base64,eyJ2ZXJzaW9uIjozLCJzb3VyY2VzIjpb${r.base64(300)}\n`],
  [
    'minified',
    () => 'var k=n(42),p=k.password||(k.password=q),t={token:t.token,secret:u[3],key:"a",apiKey:v.w};function x(e){return e.key===z?y:p}',
  ],
  ['webpack', (r) => `"static/chunks/pages/token-${r.hex(16)}.js","static/css/${r.hex(16)}.css",key:"chunk-${r.hex(20)}"\n`],
  ['graphql id', (r) => `"id":"R2lkOi8vc2hvcC9Qcm9kdWN0LzEyMzQ1","cursor":"Y3Vyc29yOnYyOpHOA${r.base62(20)}","key":"orders"\n`],
  ['youtube and short ids', (r) => `https://youtu.be/${r.base64url(11)} https://acme.example/p/${r.base62(22)}?key=anchor\n`],
  [
    'model output tokens',
    () => '"usage":{"prompt_tokens":812,"completion_tokens":1022,"total_tokens":1834,"cached_tokens":0},"max_token":4096\n',
  ],
  [
    'tokenizer',
    () => '"added_tokens":[{"id":50256,"content":"<|endoftext|>"}],"pad_token":"<|endoftext|>","unk_token":"[UNK100]","bos_token":"<s>"\n',
  ],
  [
    'terraform keys',
    () =>
      'hash_key = "tenant_id_2026_index"\nrange_key = "created_at"\nkey_name = "ops-bastion-2026-eu"\ns3_key = "terraform/prod/network/v2.tfstate"\n',
  ],
  [
    'key names',
    () => 'primaryKey: "order_line_item_id_v2", foreignKey: "orders.customer_id_2"\nkeyPath = /etc/ssl/private/acme-2026.key\n',
  ],
  ['key bindings', () => '{ "key": "ctrl+shift+alt+f12", "command": "workbench.action.terminal.focus2" }\n'],
  [
    'token types',
    () => 'token_type=urn:ietf:params:oauth:token-type:access_token\ntoken_endpoint="https://auth.acme.example/oauth2/v1/token"\n',
  ],
  [
    'secret names',
    () =>
      'secretName: shop-tls-2026-wildcard\nsecret_id = "projects/1234567890/secrets/db-password/versions/3"\nSecretArn: arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbCdEf\n',
  ],
  [
    'password files',
    () =>
      'password_file = /run/secrets/db_password_2026\npasswordFile: "./config/passwords/main1.txt"\nPOSTGRES_PASSWORD_FILE=/run/secrets/pg1\n',
  ],
  ['password rules', () => 'passwordPolicy: "min-12-upper-1-digit-1"\nmax_password_age=90d\npasswordStrength: zxcvbn-4.4.2\n'],
  [
    'auth modes',
    () => 'auth: "oauth2-client-credentials"\nauth_method = scram-sha-256\nauthorization: enabled\nauthentication: sha512-crypt\n',
  ],
  ['css tokens', (r) => `:root{--token-color-primary-500:#${r.hex(6)};--key-shadow-lg:0 10px 15px -3px rgb(0 0 0/.1)}\n`],
  ['design tokens', () => '{"token":{"color":{"blue-500":{"value":"#3b82f6"}}},"key":"color.background.primary.hover-2"}'],
  // Numbers
  ['numbers', (r) => `id=${r.digits(18)} seq=${r.digits(12)} ts=1767211200123 hash=${r.digits(10)}\n`],
  ['wrong luhn', () => 'card number 4111 1111 1111 1112, ref 5500-0000-0000-0005, tx 1234567812345678\n'],
  ['zeros and runs', () => '0000000000000000 1111111111111111 9999999999999999 0000 0000 0000 0000\n'],
  ['floats', () => '0.4111111111111111 1.5500000000000004e-7 -4.242424242424242 3.5714285714285716\n'],
  ['coordinates', () => '[[52.520008, 13.404954],[48.856613, 2.352222]] bbox=-122.419416,37.774929\n'],
  ['timestamps', () => '2026-03-02T10:15:00.000Z 20260302-101500-123456 1767211200 1767211200000000000\n'],
  ['snowflake', () => 'channel 1039281234567890123 message 1152921504606846976 user 175928847299117063\n'],
  ['wrong iban', () => 'DE89370400440532013001 GB82WEST12345698765433 FR0000000000000000000000000\n'],
  ['iban-like', () => 'AB12CDEF34567890 ES20262027 SHA1 UTF16LE BASE64 X509V3 IT2024ABCDEF1234567890\n'],
  ['not a phone', () => 'ip 192.168.1.100 ver 10.0.19045.3803 range 100-200-3000 part 123-456-789 +1 -1 +12.5 1+234567890123\n'],
  ['not a phone', () => 'diff @@ -120,7 +120,9 @@ offset +1048576 bytes, +3000 lines, 2026-12-31, 555-1234 555 010 9999 1\n'],
  ['not an email', () => 'npm i @scope/pkg@1.2.3 user@host foo@localhost a@b git@github.com:a/b.git @decorator() x@2x.png node@24\n'],
  ['example emails', () => 'user@example.com admin@example.org test@test.com you@your-domain.example noreply@github.com\n'],
  ['retina images', () => 'icon@2x.png logo@3x.webp bg@1.5x.jpg sprite@2x.svg\n'],
  ['hex dump', (r) => `00000000  ${r.hex(2)} ${r.hex(2)} ${r.hex(2)} ${r.hex(2)}  |....|\n0x${r.hex(64)} 0x${r.hex(40)}\n`],
  ['ethereum address', (r) => `const token = new Contract("0x${r.hex(40)}", abi)\ntokenAddress: "0x${r.hex(40)}"\n`],
]
