"""Public data sets in small: the files as they are published, written by the test itself."""

import io
import tarfile
from collections.abc import Mapping

Files = Mapping[str, str]

REVIEWS = [
    ("bad film", "negative"),
    ("awful plot", "negative"),
    ("good film", "positive"),
    ("fine cast", "positive"),
]
UNLABELLED = ["some film", "some plot"]
IMDB: Files = {
    **{f"{part}/{y[:3]}/{i}_1.txt": f"{part} {t}" for part in ("train", "test") for i, (t, y) in enumerate(REVIEWS)},
    **{f"unsup/{i}_0.txt": text for i, text in enumerate(UNLABELLED)},
    "README": "not a text",
}  # fmt: skip
STANFORD: Files = {
    f"train/{name}" if name.startswith("unsup") else name: text for name, text in IMDB.items()
}
SAMPLE: Files = {
    "texts.csv": 'label,text,is_valid\nnegative,"Bad, very bad",False\npositive,Good,False\npositive,Fine,True\n'
}
WIKITEXT: Files = {
    "train.csv": '" \n = One = \n \n A ""b"" , c . "\n" \n = Two = \n \n D . "\n',
    "test.csv": '" \n = Three = \n "\n',
}
AG_NEWS: Files = {
    "classes.txt": "World\nSports\nBusiness\nSci/Tech\n",
    "train.csv": '"3","Oil up","Prices\\rise, says ""X"""\n"1","Talks",""\n',
    "test.csv": '"4","A chip","It is small"\n',
}
DBPEDIA: Files = {
    "train.csv": '1,"E. D. Abbott"," Abbott of Farnham"\n14,"A Book"," A novel"\n',
    "test.csv": '9,"A Village"," A village in Iran"\n',
}
YELP_POLARITY: Files = {
    "train.csv": '"1","Never again.\\n\\nA ""joke""."\n"2"," Nice "\n',
    "test.csv": '"2","Lovely"\n',
}
YELP_FULL: Files = {"train.csv": '"5","Best\\nfood"\n"1","Cold"\n', "test.csv": '"3","So so"\n'}
TREC: dict[str, bytes] = {
    "train_5500.label": "DESC:manner How did it end ?\nENTY:food What is a cr\xeape ?\n".encode("latin-1"),
    "TREC_10.label": b"NUM:dist How far is it ?\n",
}  # fmt: skip


def tgz(files: Files, top: str = "") -> bytes:
    """An archive of the files, in the folder `top` or in none."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            content = text.encode()
            member = tarfile.TarInfo(f"{top}/{name}" if top else name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
