"""Choose rows of a data set in memory, and tune on them with TRL: python examples/choose_and_train.py [MODEL]."""

import sys

from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

import selectit
from selectit.models.resolve import resolve

model = sys.argv[1] if len(sys.argv) > 1 else "smollm2"
data = load_dataset("json", data_files="examples/demo.json", split="train")
chosen = selectit.select(data, selectit.Settings(model=(model,), keep="20%", k=1)).data
pairs = chosen.map(lambda row: {"prompt": row["instruction"], "completion": row["output"]})
settings = SFTConfig("tuned", max_steps=2, per_device_train_batch_size=2, report_to="none", bf16=False)
trainer = SFTTrainer(resolve(model).path, settings, train_dataset=pairs.select_columns(["prompt", "completion"]))
print(f"{len(data)} rows, {len(chosen)} chosen, loss {trainer.train().training_loss:.3f}")
