"""The forms of keys and tokens, as their issuers document them.

Each form has a kind, marks, and a pattern. What matches the pattern begins with one of the marks, so that the text is
searched for the marks, which is quick. Each pattern is linear in the text: a part that repeats is possessive, bounded,
or at the end.
"""

from __future__ import annotations

__all__ = ["FORMS", "INNER_FORMS", "LONG_FORMS"]

Form = tuple[str, tuple[str, ...], str]

FORMS: tuple[Form, ...] = (
    ("age key", ("AGE-SECRET-KEY-1",), r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{50,}"),
    # Clouds
    (
        "AWS access key",
        ("AKIA", "ASIA", "ABIA", "ACCA", "A3T"),
        r"\b(?:A(?:KIA|SIA|BIA|CCA)|A3T[A-Z0-9])[A-Z2-7]{16}\b",
    ),
    ("AWS session token", ("IQoJ", "FwoG"), r"\b(?:IQoJ|FwoG)[A-Za-z0-9+/=]{100,}"),
    ("AWS Bedrock key", ("ABSK",), r"\bABSK[A-Za-z0-9+/]{100,}={0,2}"),
    ("Google API key", ("AIza",), r"\bAIza[\w-]{35}(?![\w-])"),
    ("Google OAuth secret", ("GOCSPX-",), r"\bGOCSPX-[\w-]{24,}"),
    ("Google OAuth token", ("ya29.",), r"\bya29\.[\w-]{20,}"),
    ("Google refresh token", ("1//0",), r"(?<![\w/])1//0[\w-]{40,}"),
    (
        "Azure storage key",
        ("AccountKey=", "SharedAccessKey="),
        r"\b(?:Account|SharedAccess)Key=[A-Za-z0-9+/]{42,86}={1,2}",
    ),
    ("Alibaba access key", ("LTAI",), r"\bLTAI[A-Za-z0-9]{17,21}\b"),
    ("Tencent access key", ("AKID",), r"\bAKID[A-Za-z0-9]{32}\b"),
    ("DigitalOcean token", ("dop_v1_", "doo_v1_", "dor_v1_"), r"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    ("Databricks token", ("dapi",), r"\bdapi[a-f0-9]{32}(?:-\d)?\b"),
    ("Yandex key", ("AQVN", "t1."), r"\bAQVN[\w-]{35,38}(?![\w-])|\bt1\.[\w-]{1,200}\.[\w-]{86}(?![\w-])"),
    ("Heroku key", ("HRKU-",), r"\bHRKU-[\w-]{36,}"),
    ("Cloudflare key", ("v1.0-",), r"\bv1\.0-[a-f0-9]{24}-[a-f0-9]{146}\b"),
    # Models
    ("Anthropic key", ("sk-ant-",), r"\bsk-ant-[\w-]{80,}"),
    ("OpenAI key", ("sk-",), r"\bsk-(?!ant-|or-|lf-)(?=[\w-]{0,40}\d)(?:[A-Za-z0-9]{32,}|[A-Za-z0-9][\w-]{90,})"),
    ("OpenRouter key", ("sk-or-v1-",), r"\bsk-or-v1-[a-f0-9]{64}\b"),
    ("Langfuse key", ("sk-lf-",), r"\bsk-lf-[a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}\b"),
    ("LangSmith key", ("lsv2_",), r"\blsv2_[a-z]{2}_[a-f0-9]{32}_[a-f0-9]{10}\b"),
    ("Hugging Face token", ("hf_",), r"\bhf_[A-Za-z0-9]{34}\b"),
    ("Hugging Face token", ("api_org_",), r"\bapi_org_[A-Za-z0-9]{34}\b"),
    ("Groq key", ("gsk_",), r"\bgsk_[A-Za-z0-9]{48,}"),
    ("xAI key", ("xai-",), r"\bxai-[A-Za-z0-9]{60,}"),
    ("Perplexity key", ("pplx-",), r"\bpplx-[A-Za-z0-9]{40,}"),
    ("Replicate token", ("r8_",), r"\br8_[A-Za-z0-9]{37}\b"),
    ("NVIDIA key", ("nvapi-",), r"\bnvapi-[\w-]{60,}"),
    ("Together key", ("tgp_v1_",), r"\btgp_v1_[\w-]{40,}"),
    ("Firecrawl key", ("fc-",), r"\bfc-[a-f0-9]{32}\b"),
    ("ElevenLabs key", ("sk_",), r"\bsk_[a-f0-9]{48}\b"),
    # Code, packages, builds
    ("GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"\bgh[pousr]_[A-Za-z0-9]{36,255}+\b"),
    ("GitHub token", ("github_pat_",), r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b"),
    (
        "GitLab token",
        (
            "glpat-",
            "gldt-",
            "glrt-",
            "glrtr-",
            "glcbt-",
            "glptt-",
            "glft-",
            "glimt-",
            "glagent-",
            "glsoat-",
            "gloas-",
            "glffct-",
        ),
        r"\bgl[a-z]{2,5}-[\w-]{20,}(?:\.[\w-]{2,20}){0,2}",
    ),
    ("GitLab token", ("GR1348941",), r"\bGR1348941[\w-]{20,}"),
    ("Atlassian token", ("ATATT3", "ATCTT3"), r"\bAT[AC]TT3[\w-]{60,}(?:=[A-Z0-9]{8})?"),
    ("Bitbucket password", ("ATBB",), r"\bATBB[A-Za-z0-9]{28,}"),
    ("npm token", ("npm_",), r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("PyPI token", ("pypi-AgE",), r"\bpypi-AgE[\w-]{50,}"),
    ("RubyGems key", ("rubygems_",), r"\brubygems_[a-f0-9]{48}\b"),
    ("crates.io token", ("cio",), r"\bcio(?=[A-Za-z0-9]{0,31}\d)[A-Za-z0-9]{32}\b"),
    ("NuGet key", ("oy2",), r"\boy2[a-z0-9]{43}\b"),
    ("Clojars token", ("CLOJARS_", "clojars_"), r"(?i)\bCLOJARS_[a-z0-9]{60}\b"),
    ("JFrog token", ("AKCp",), r"\bAKCp[A-Za-z0-9]{60,}"),
    ("Docker token", ("dckr_",), r"\bdckr_[a-z]{3}_[\w-]{20,}"),
    ("Sonar token", ("sqp_", "squ_", "sqa_"), r"\bsq[pua]_[a-f0-9]{40}\b"),
    ("Buildkite token", ("bkua_",), r"\bbkua_[a-f0-9]{40}\b"),
    ("Pulumi token", ("pul-",), r"\bpul-[a-f0-9]{40}\b"),
    ("Octopus key", ("API-",), r"\bAPI-(?=[A-Z0-9]{0,25}\d)[A-Z0-9]{26,}\b"),
    ("Vault token", ("hvs.", "hvb.", "hvr."), r"\bhv[sbr]\.[\w-]{24,}"),
    ("Doppler token", ("dp.",), r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,}"),
    ("1Password token", ("ops_eyJ",), r"\bops_eyJ[\w+/=-]{60,}"),
    ("1Password key", ("A3-",), r"\bA3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}\b"),
    ("OpenShift token", ("sha256~",), r"\bsha256~[\w-]{40,}"),
    ("Supabase token", ("sbp_",), r"\bsbp_[a-f0-9]{40}\b"),
    ("Supabase key", ("sb_secret_",), r"\bsb_secret_[\w-]{20,}"),
    ("PlanetScale secret", ("pscale_",), r"\bpscale_[a-z]{2,5}_[\w.=-]{32,64}"),
    ("Tailscale key", ("tskey-",), r"\btskey-[a-z]{2,12}-[\w-]{16,}"),
    ("Fly token", ("fo1_", "fm1", "fm2"), r"\bfo1_[\w-]{43}|\bfm[12][ar]?_[A-Za-z0-9+/]{100,}={0,3}"),
    # Messages and mail
    ("Slack token", ("xox",), r"\bxox[abeoprs]-(?:[A-Za-z0-9]{1,20}+-){1,4}[A-Za-z0-9]{20,}+\b"),
    ("Slack token", ("xoxe.xox", "xoxe-", "xapp-"), r"\b(?:xoxe\.xox[bp]-|xoxe-|xapp-)\d{1,2}-[\w-]{40,}"),
    (
        "Slack webhook",
        ("hooks.slack.com/",),
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Z]\w{8,}+/\w{8,}+/[\w/]{20,}",
    ),
    (
        "Discord webhook",
        ("discord.com/api/webhooks/", "discordapp.com/api/webhooks/"),
        r"discord(?:app)?\.com/api/webhooks/\d{15,22}/[\w-]{60,}",
    ),
    ("Twilio key", ("SK",), r"\bSK[a-fA-F0-9]{32}\b"),
    ("SendGrid key", ("SG.",), r"\bSG\.[\w-]{16,32}\.[\w-]{16,64}(?![\w-])"),
    ("Brevo key", ("xkeysib-", "xsmtpsib-"), r"\bx(?:key|smtp)sib-[a-f0-9]{64}-[A-Za-z0-9]{16}\b"),
    ("Mailgun key", ("key-",), r"\bkey-[a-f0-9]{32}\b"),
    # Payment and commerce
    (
        "Stripe key",
        ("sk_live_", "sk_test_", "sk_prod_", "rk_live_", "rk_test_", "rk_prod_"),
        r"\b[rs]k_(?:live|test|prod)_[A-Za-z0-9]{16,}+\b",
    ),
    ("Stripe webhook secret", ("whsec_",), r"\bwhsec_[A-Za-z0-9+/]{24,}={0,2}"),
    ("Square token", ("EAAA", "sq0"), r"\bEAAA[\w-]{60}(?![\w-])|\bsq0[a-z]{3}-[\w-]{22,43}(?![\w-])"),
    ("Shopify token", ("shpat_", "shpca_", "shppa_", "shpss_"), r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b"),
    (
        "Plaid token",
        ("access-",),
        r"\baccess-(?:sandbox|development|production)-[a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}\b",
    ),
    ("PayPal token", ("access_token$",), r"\baccess_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32}\b"),
    ("EasyPost key", ("EZAK", "EZTK"), r"\bEZ[AT]K[A-Za-z0-9]{54}\b"),
    ("Flutterwave key", ("FLWSECK", "FLWPUBK"), r"\bFLW(?:SEC|PUB)K(?:_TEST)?-[a-h0-9]{12,32}(?:-X)?\b"),
    ("Lob key", ("live_", "test_"), r"\b(?:live|test)_(?:pub_)?[a-f0-9]{31,35}\b"),
    ("Shippo token", ("shippo_",), r"\bshippo_(?:live|test)_[a-f0-9]{40}\b"),
    ("Meta token", ("EAA",), r"\bEAA[MC]?[A-Za-z0-9]{80,}"),
    ("Twitter bearer token", ("A" * 20,), r"\bA{20,24}(?=[A-Za-z0-9]{4,60}%)[A-Za-z0-9%]{60,}"),
    # Work and watching
    ("New Relic key", ("NRAK-", "NRII-", "NRJS-", "NRRA-"), r"\bNR(?:AK|II|JS|RA)-[\w-]{19,40}"),
    ("Grafana token", ("glsa_", "glc_"), r"\bglsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}\b|\bglc_[A-Za-z0-9+/]{32,}={0,2}"),
    ("Dynatrace token", ("dt0",), r"\bdt0[a-z]\d{2}\.[A-Za-z0-9]{8,24}\.[A-Za-z0-9]{64}\b"),
    ("Sentry token", ("sntry",), r"\bsntry[su]_[\w+/=-]{40,}"),
    ("Postman key", ("PMAK-",), r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}\b"),
    ("Airtable token", ("pat",), r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}\b"),
    ("HubSpot token", ("pat-", "PAT-"), r"(?i)\bpat-(?:na|eu|ap)\d-[a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}\b"),
    ("LaunchDarkly key", ("sdk-", "api-", "mob-"), r"\b(?:sdk|api|mob)-[a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}\b"),
    ("Notion token", ("secret_",), r"\bsecret_[A-Za-z0-9]{43}\b"),
    ("Figma token", ("figd_", "figo_", "figu_", "figr_"), r"\bfig[dour]_[\w-]{40,}"),
    ("Typeform token", ("tfp_",), r"\btfp_[\w.=-]{40,}"),
    ("Frame.io token", ("fio-u-",), r"\bfio-u-[\w=-]{64}"),
    ("Adobe secret", ("p8e-", "P8E-"), r"(?i)\bp8e-[a-z0-9]{32}\b"),
    ("Intra42 secret", ("s-s4t2",), r"\bs-s4t2(?:ud|af)-[a-f0-9]{64}\b"),
    ("Duffel token", ("duffel_",), r"\bduffel_(?:test|live)_[\w=-]{40,}"),
    ("SettleMint token", ("sm_aat_", "sm_pat_", "sm_sat_"), r"\bsm_[aps]at_[A-Za-z0-9]{16,}"),
    ("Harness key", ("pat.", "sat."), r"\b[ps]at\.[\w-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}\b"),
    (
        "Authress key",
        ("sc_", "ext_", "scauth_", "authress_"),
        r"\b(?:sc|ext|scauth|authress)_[a-zA-Z0-9]{5,30}\.[a-zA-Z0-9]{4,6}\.acc[_-][\w-]{10,32}\.[\w+/=-]{30,120}",
    ),
    ("JFrog token", ("cmVmd",), r"\bcmVmd[A-Za-z0-9]{59}\b"),
    ("ClickHouse key", ("4b1d",), r"\b4b1d[A-Za-z0-9]{38}\b"),
    ("Dropbox token", ("sl.",), r"\bsl\.[\w=-]{120,}"),
    ("Defined Networking token", ("dnkey-",), r"\bdnkey-[\w=-]{20,}"),
    ("Azure signature", ("?sig=", "&sig="), r"[?&]sig=[A-Za-z0-9%+/]{40,}(?:%3[Dd]|=){0,2}"),
)

_DISCORD = tuple(first + second for first in "MNO" for second in "DTjzQ")
"""A token begins with an account's number in base64: a digit, and one that follows it."""

INNER_FORMS: tuple[Form, ...] = (
    ("OpenAI key", ("T3BlbkFJ",), r"\bsk-[\w-]{20,200}T3BlbkFJ[\w-]{20,200}"),
    ("Azure client secret", ("Q~",), r"(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,34}(?![\w~.-])"),
    ("Azure DevOps token", ("AZDO",), r"\b[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}\b"),
    ("Terraform token", (".atlasv1.",), r"\b[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}"),
    ("Discord token", _DISCORD, r"\b[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,38}(?![\w-])"),
    (
        "Teams webhook",
        ("/webhookb2/", "/IncomingWebhook/"),
        r"\.office\.com/[\w@/-]{36,180}/IncomingWebhook/\w{32}/[\w-]{36}",
    ),
    ("Telegram bot token", (":AA",), r"\b\d{8,10}+:AA[\w-]{33}(?![\w-])"),
    ("Mailchimp key", ("-us",), r"\b[a-f0-9]{32}-us\d{1,2}\b"),
    ("Mapbox token", (".eyJ1",), r"\b[ps]k\.eyJ1[\w-]{30,200}\.[\w-]{20,40}"),
    ("JSON web token", (".ey",), r"(?<![\w-])ey[\w-]{15,2000}+\.ey[\w-]{10,4000}+\.[\w-]{10,1000}"),
)
"""The forms whose marks are inside of the secret."""

LONG_FORMS: tuple[Form, ...] = (
    (
        "private key",
        ("-----BEGIN ",),
        r"-----BEGIN (?:[A-Z0-9]++ )*PRIVATE KEY(?: BLOCK)?-----(?:[^-]{0,10000}+-----END)?",
    ),
    ("PuTTY key", ("Private-Lines:",), r"Private-Lines: \d{1,4}(?:\r?\n[A-Za-z0-9+/=]{16,64}+){1,200}+"),
    (
        "password in a URL",
        ("://",),
        r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}+://[^\s:/@'\"<>{}$]{0,64}+:[^\s/@'\"<>{}$]{3,128}+@(?=[\w\[])",
    ),
)
"""The forms that hold lines or any characters."""
