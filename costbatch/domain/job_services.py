"""Services of AWS that run jobs: what each costs on a day is what was run on it that day.

A batch, a training, a conversion or a recorder of changes makes a day expensive by nature, and nothing in the
costs before announces it. All others cost what runs all the time, or what their users do.
"""

from functools import lru_cache

# By kind, as Cost Explorer calls them, without the name of the company and without spaces.
_NAMES = (
    # Data that is processed in batches, moved or queried.
    ("athena", "batch", "databasemigrationservice", "datapipeline", "datasync", "elasticmapreduce", "emr"),
    ("glue", "import/exportsnowball", "snowball", "snowcone", "parallelcomputingservice", "deadlinecloud"),
    ("healthomics",),
    # Models that are trained, and documents, speech and pictures that are read.
    ("braket", "comprehend", "forecast", "personalize", "rekognition", "sagemaker", "textract"),
    ("transcribe", "translate"),
    # Media that is converted.
    ("elastictranscoder", "elementalmediaconvert", "mediaconvert"),
    # Builds and tests of programs, and what records changes of an account.
    ("codebuild", "config", "devicefarm", "faultinjection"),
)
_PREFIXES = tuple(name for names in _NAMES for name in names)


@lru_cache(maxsize=4096)
def runs_jobs(service: str) -> bool:
    """Whether a service, as Cost Explorer calls it, runs jobs."""
    name = service.lower().replace(" ", "")
    return name.removeprefix("amazon").removeprefix("aws").startswith(_PREFIXES)
