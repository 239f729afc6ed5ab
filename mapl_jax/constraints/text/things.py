"""Things that people name when they say what an answer should mention or leave out.

They are of a certain kind: butter, not food; a dentist, not a person. Of what has kinds, one reader
finds it in "apples" and another does not. Left out is also what is another word as often ("rock",
"train", "present"), and what only names call so.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

# Of these people without an article.
_WITHOUT_ARTICLE = frozenset(
    """
    acne acupuncture adrenaline adulthood aerobics agriculture air alcohol algebra aloe aluminium
    anatomy anesthesia anger animation anxiety apartheid archaeology archery architecture arsenic
    arthritis ash asphalt aspirin asthma astrology astronomy attendance autism bacon bacteria
    badminton ballet bamboo bandwidth bankruptcy barley baseball basil basketball batter beef beer
    biology bleach bloating blood bluetooth boredom bourbon bowling brandy breakfast breastfeeding
    broccoli broth buckwheat butter buttermilk cabbage caffeine calcium calculus camping cancer
    canola capitalism caramel carbon cardamom cardboard cardio carpentry cash cashmere caviar celery
    cement censorship cereal chalk charcoal cheddar cheese chemistry chemotherapy chess chicken
    childcare childhood chives chlorine chocolate cholesterol church cider cilantro cinnamon clay
    clothes clothing coal cocoa coffee collagen college colonialism comedy communication communism
    compassion compost conditioner confidence congestion constipation copyright coriander corn
    cornmeal cornstarch cotton courage couscous cream cricket crime crochet culture cumin curry
    cyanide cycling dairy dancing dandruff dating daycare debt deforestation dehydration dementia
    denim deodorant depression detergent diabetes diarrhea diesel digestion dinner dirt divorce
    dopamine dough drywall dust economics eczema education eggplant electricity empathy encryption
    entertainment erosion estrogen evolution exercise family fashion fatigue fear feedback feminism
    fencing fertilizer feta fiber fiberglass fiction fish fishing flirting floss flour fluoride fog
    football foreclosure forgiveness friendship frost frosting fructose fruit furniture gambling
    gaming garbage gardening garlic gas gasoline gelatin genetics genocide geography geometry ginger
    globalization glucose glue gluten gold golf grammar granola gratitude gravel gravity gravy grief
    guacamole guilt gymnasium gymnastics hair ham hardware health heartburn helium hemp hepatitis
    herpes hiking history hockey homework honesty honey horseradish housework humidity hummus humor
    hunting hydrogen hygiene hypertension hypnosis ice immigration imperialism income indigestion
    inequality inflammation inflation influenza ink insomnia insulation insulin insurance iodine
    itching ivory jazz jealousy jelly jewelry jogging journalism juice kale karate kayaking kelp
    ketchup kindness knitting lace lactose lamb laughter laundry lava lavender leather lemonade
    lettuce leukemia lightning linen linoleum literacy loneliness lotion loyalty luggage lumber
    lunch lye magnesium mahogany makeup malaria malt malware manure maple marble margarine marijuana
    marinade marriage mascara masonry math mathematics mayonnaise meat medication medicine
    meditation melatonin menopause metabolism mica mildew milk mindfulness mint moisture molasses
    mold money morphine motivation mouthwash mozzarella mucus mud mulch music mustard nausea neon
    news nicotine nightlife nitrogen noise nutmeg nutrition nylon oatmeal obesity oil okra opera
    opium oregano oxygen ozone pain pancetta paper paprika parmesan parsley pasta patience
    penicillin pepper peppermint percussion perfume perjury petrol philosophy phlegm phosphorus
    photography photosynthesis physics pilates plagiarism plaque plaster plastic plumbing plutonium
    plywood poetry poker police polio politics pollen pollution polyester popcorn porcelain pork
    posture potassium pottery poverty pregnancy privacy pronunciation propaganda protein psoriasis
    psychology puberty punctuation quartz quicksand quinoa racism radiation radon ragtime rain rap
    recycling reggae religion rennet rent reproduction research respiration retirement rice ricotta
    rosemary rubber rugby rust safety saffron sailing saliva salmon salsa salt sand sarcasm sauce
    sauerkraut sausage sawdust scenery school science scurvy seasoning seaweed security semolina
    serotonin sesame sewage sewing shame shampoo shopping shortening sightseeing silicon silicone
    silk silver skating skiing skin slavery sleep sleet smallpox smog smoke snoring snorkeling snow
    snowboarding soap soccer socialism sociology soda sodium softball software soil spaghetti spam
    spelling spinach spirituality starch steam steel stevia stress styrofoam sugar sulfur sunlight
    sunscreen surfing surgery sushi sweat swimming syrup taxation tea technology tennis terrorism
    testosterone texting theology therapy thunder thyme tile timber titanium tobacco tofu toothpaste
    tourism traffic transportation trash trigonometry tuberculosis tuition tuna turkey turmeric
    turpentine unemployment upholstery uranium urine vandalism vanilla varnish vaseline vegetation
    ventilation vinegar vinyl violence vocabulary vodka volleyball voltage vomiting wallpaper wasabi
    water wax wealth welding wheat whiskey wifi wildlife wine wood wool worcestershire wrestling
    yarn yeast yoga yogurt zinc
    """.split()
)
_THE = frozenset(
    """
    backyard bathroom beach bedroom border brain budget ceiling climate coast constitution
    dishwasher economy environment equator flavor floor forehead freezer fridge garden government
    gym heart internet kitchen lawn library liver menu microwave moon mouth nose ocean oven
    parliament refrigerator roof saucepan sea skillet spine stove temperature texture theater throat
    tongue weather wind zoo
    """.split()
)
_COUNTED = frozenset(
    """
    accordion accountant acid actor actress adjective adult adverb airbag airline airplane airport
    album algorithm alien allergen allergy alligator almond ambulance anchovy animal ankle
    anniversary ant antacid antelope antenna antibiotic antibody antidepressant antioxidant
    apartment app apple appliance apricot apron aquarium archaeologist architect armchair army
    artery artichoke ashtray asparagus assassin asteroid astronaut astronomer atom attic attorney
    auction aunt author autumn avalanche avocado award axe baby babysitter backpack badge badger
    bagel bagpipe baker bakery balcony ballad ballerina balloon banana bandage banjo bank banker
    banknote banquet barbecue barber bartender basement basket bathtub battery battle beaker bean
    bear beard beaver bed bee beehive beetle beginner belt bench benefit berry bicycle bike bikini
    billionaire biologist biopsy bird birthday biscuit bishop bison blackberry blanket blender
    blister blizzard blog blossom blouse blueberry boat bobcat bomb bone book bookcase bookshelf
    bookstore boot boss bottle bowl box boyfriend bracelet brake breadcrumb brewery bride briefcase
    broom brother brownie browser bruise buffalo buffet building bulldozer bullet bumper bungalow
    burger burglar burrito bus bush butcher butterfly cabin cabinet cable cactus cafe cafeteria cake
    calculator calendar calorie camel camera campfire campground campsite canary candidate candle
    candy cannon canoe canyon car caravan carbohydrate carburetor card career carnival carpenter
    carpet carriage carrot cartilage cartoon cashew casino casserole castle cat cataract caterpillar
    cathedral catheter cattle cauliflower cave cavity celebrity cello cemetery championship chapel
    charger chart chauffeur cheesecake cheetah chef chemical chemist cherry chestnut chickpea child
    chimney chimpanzee choir chorus cigar cigarette circus citizen clarinet classmate classroom
    cleanser clinic clock closet clown club coat cockroach coconut collar colleague columnist
    comedian comet community commute compass composer computer concert concussion condo condom
    congressman container contractor cookbook cookie cooler costume cottage couch cough counselor
    coupon courthouse courtyard cousin cow cowboy coworker coyote crab cracker cradle cranberry
    crayon crocodile croissant crossword crowd crown crutch cube cucumber cupboard cupcake curtain
    cushion customer cyclist cymbal dancer database daughter deadline decoration deer demon dentist
    deposit deputy dermatologist desert dessert detective device diabetic diamond diaper dictionary
    diet dietitian dinosaur diploma diplomat discount ditch dividend doctor dog doll dollar dolphin
    donation donkey donut door doorbell dragon dragonfly drawing drink driveway drone drought drum
    drummer dryer duck dumpling dungeon duvet eagle earring earthquake eclipse egg elbow election
    electrician electron elephant elevator email embassy embryo emerald emission emoji emotion
    emperor empire employee encyclopedia engine engineer envelope enzyme eraser escalator essay
    evening experiment expert eyebrow eyelash eyelid factory fairy falcon farm farmer father feather
    feeling fence festival fever fiance fiddle filmmaker finger fingernail fingerprint firefighter
    firefly fireplace firework flag flame flamingo flashlight flight flood flower fluid flute folder
    font footballer forest fork fortress fossil fountain fox freckle friend frog funeral fungus fuse
    galaxy gallery game garage gardener gargoyle gazelle gecko gene germ ghost giant gift giraffe
    girlfriend glacier glove goal goalie goat god goddess goldfish golfer goose gorilla governor
    graduation grain grandchild granddaughter grandfather grandma grandmother grandpa grandparent
    grandson grape grapefruit grasshopper grater grave greenhouse griddle grill groom guest guitar
    guitarist gun gymnast hairbrush haircut hairdresser hairdryer hairspray hamburger hammer hammock
    hamster handbag handgun handkerchief harbor hashtag hat headache headlight headline headphone
    heater hedgehog helicopter helmet hen herb hermit highway hill hippo historian hobby holiday
    honeymoon hoodie horse hose hospital hostel hotel house hurdle hurricane husband hyena iceberg
    icicle igloo immigrant infant infection ingredient inhaler insect instruction internship
    interview investment investor invitation invoice ipad iphone island jacket jaguar jail jalapeno
    janitor jar jaw jeans jeep jellyfish jeweler jigsaw joint joke journalist jungle juror jury
    kangaroo keyboard kid kidney king kitten knee knife knight koala laboratory ladder ladybug lake
    lamp landlord laptop lasagna laser law lawnmower lawsuit lawyer league lease lecture leek lemon
    lentil leopard leprechaun librarian lid lifeguard lifejacket lighthouse limousine lion lipstick
    lizard loaf loan lobster locker locksmith locomotive lodge lottery lung lyric machine magazine
    magician magnet mailbox mailman mammal mango mansion manuscript marathon marshmallow massage
    material mattress mayor meadow meal meatball mechanic medal meeting melody melon memory mermaid
    meteor meteorite microphone microscope midwife migraine millionaire mineral minister minivan
    mirror missile missionary mistake mitten modem moisturizer molecule mom monastery monk monkey
    monster mop morning mortgage mosque mosquito motel moth mother motor motorbike motorcycle
    mountain movie muffin mug murderer muscle museum mushroom mustache napkin narrator necklace
    necktie needle neighbor neighborhood nephew neurologist neuron neutron newborn newspaper niece
    nightclub nightmare noodle nostril notebook novel novelist nun nurse nursery nut nutrient
    nutritionist octopus olive omelet onion opponent orange orangutan orbit orchard orchestra orchid
    ornament otter overcoat owl owner oyster pacifier painkiller paintbrush painter painting pajama
    palace pan pancake panda panther parachute parade parakeet paramedic parent park parrot parsnip
    passenger passport password pastor patient patio paycheck pea peach peacock peanut pear pearl
    pecan pediatrician pelican pencil penguin peninsula pension pet petal pharmacist pharmacy
    pheasant philosopher phone photo photographer photon physician physicist pianist piano picnic
    pie pig pigeon pill pillow pineapple pipe pirate pistachio pitcher pizza planet plant platypus
    player playground playlist plumber pocket podcast poem poet politician pond poodle porch
    porcupine pot potato prairie prayer predator prescription pretzel price priest prince princess
    printer prison prisoner probiotic product professor programmer projector protester proton
    psychiatrist psychologist pterodactyl pub pudding puddle pulley pumpkin puppet puppy purse
    puzzle pyramid quail quarterback queen quilt rabbi rabbit raccoon radiator radio radish railroad
    railway rainbow raincoat rainforest raisin rapper rash raspberry rat rattlesnake reader realtor
    receipt receptionist recipe referee refugee refund reindeer relationship researcher resource
    restaurant revolution reward rhino rhinoceros rhythm ribbon rifle risk river roach road robe
    robin robot rocket rollercoaster roommate rooster rose rosebush router routine rowboat ruby rug
    rule saddle safari salad salamander salary salesman salon sandal sandwich satellite sauna
    saxophone scallion scar scarf schedule schoolbus scientist scissors scooter scorpion screwdriver
    sculptor sculpture seagull seahorse seatbelt selfie semester senator sergeant sermon shallot
    shark sheep shelf sheriff shirt shoe shoelace shoulder shovel shower shrimp shrub sibling
    sidewalk sister skateboard skeleton skill skirt skull skunk skyscraper slave sleeve slipper
    sloth smartphone smartwatch smoothie snack snail snake sneaker sock sofa soldier son song soup
    spa spacecraft spaceship spacesuit sparrow spatula spice spider sponge spoon spouse spreadsheet
    sprinkler squid squirrel stadium staircase stairway statue steak stepfather stepmother steroid
    stingray stomach story stranger strawberry streetlight stroller student suburb subway suitcase
    summer sunburn sunflower sunset superhero supermarket supplement surfboard surgeon swamp swan
    sweater swimsuit sword symptom synagogue syringe tablecloth tablet taco tadpole tailor
    tambourine tampon tangerine tattoo tax taxi teacher team teapot teenager telephone telescope
    television temple tenant tent termite textbook theory therapist thermometer thermostat thief
    thigh throne thumb thunderstorm ticket tiger tire toaster toddler toilet tomato tombstone tonsil
    tool tooth toothbrush toothpick topping tornado tortilla tortoise toucan tourist tournament
    towel toxin toy tractor tradition trailer trampoline transmission treadmill treasurer treaty
    tree tricycle tripod trombone trophy truck trumpet tsunami tuba tulip tumor tunnel turnip turtle
    tutor tutorial tweet tweezers twin typewriter ukulele ulcer umbrella uncle unicorn university
    user vacation vaccine vacuum valley vampire van vase vegan vegetable vegetarian veggie vehicle
    vein vet veterinarian video viewer villa village villain violin violinist virus visa visitor
    vitamin volcano volunteer vote voter vulture waffle wagon waiter waitress wall wallet walnut
    walrus war wardrobe warehouse warranty warrior washcloth wasp waterfall watermelon weasel
    website wedding weekend werewolf whale wheel wheelbarrow wheelchair whisk widow wife wildfire
    windmill window windshield winter wire wolf woman wombat woodpecker workbook workout wrench
    wrinkle wrist writer yacht youtuber zebra zipper zombie zucchini
    """.split()
)
_IRREGULAR = dict(
    pair.split(":")
    for pair in """
    woman:women
    bison:bison buffalo:buffaloes cactus:cacti child:children congressman:congressmen deer:deer
    embryo:embryos fungus:fungi goose:geese grandchild:grandchildren jeans:jeans knife:knives
    leaf:leaves loaf:loaves mailman:mailmen mango:mangoes mosquito:mosquitoes potato:potatoes
    salesman:salesmen scarf:scarves scissors:scissors sheep:sheep shelf:shelves shrimp:shrimp
    squid:squid thief:thieves tomato:tomatoes tooth:teeth tornado:tornadoes tweezers:tweezers
    volcano:volcanoes werewolf:werewolves wife:wives wolf:wolves
    """.split()
)
# Where one of the others is, one reader finds the first in it and another does not.
_ALIKE = """
    actor actress cast
    adult grownup man woman people
    anger angry
    animal dog cat bird fish horse cow pig goat sheep lion tiger bear elephant monkey rabbit mouse
    animal rat snake frog insect whale shark pet wolf fox deer chicken duck mammal
    anxiety anxious
    apartment house condo
    appliance oven fridge refrigerator freezer microwave dishwasher blender
    author writer
    beef steak burger hamburger meat
    beginner novice new
    berry strawberry blueberry raspberry blackberry
    bike bicycle
    bird chicken duck goose eagle owl penguin parrot hen crow
    book novel
    boot shoe
    boss manager
    box container
    building house tower church skyscraper
    cancer tumor leukemia
    car vehicle automobile jeep van truck
    career job profession
    cash money
    cat kitten
    cheese mozzarella parmesan cheddar feta ricotta
    chicken poultry meat
    climate weather
    clothes shirt shoe dress pant jacket outfit wardrobe
    clothing clothes shirt shoe dress pant jacket outfit
    colleague coworker
    college university school
    community neighborhood
    computer laptop pc
    container box jar bottle bowl bag
    cookie biscuit
    coworker colleague
    culture cultural
    customer client
    depression depressed
    device phone computer tablet laptop smartphone
    diet dieting
    doctor physician surgeon pediatrician dermatologist specialist
    dog puppy poodle
    dollar money usd
    drink coffee tea juice water soda beer wine milk smoothie beverage cocktail
    economy economic
    election vote
    email mail
    emotion sad angry happy anger fear joy feeling love
    employee worker staff
    environment environmental
    exercise jogging running yoga walking workout swimming cycling gym
    expert specialist professional doctor
    family parent mother father brother sister sibling
    fear afraid scared
    feeling emotion feel felt
    fertilizer compost
    fish salmon tuna cod shark trout goldfish seafood
    flight plane airplane fly
    flower rose tulip lily orchid blossom
    forest wood
    fridge refrigerator freezer
    friend buddy
    fruit apple banana orange berry strawberry blueberry grape mango peach pear pineapple lemon lime
    fruit cherry melon watermelon avocado raisin
    game gaming
    garbage trash waste
    gas petrol gasoline fuel
    gasoline gas fuel petrol
    germ bacteria virus
    government congress federal state
    grandma grandmother
    grandpa grandfather
    gym gymnasium
    health healthy
    heart cardiac
    herb basil thyme oregano rosemary parsley cilantro mint sage dill
    history historical
    holiday vacation christmas thanksgiving easter
    hotel motel hostel inn
    house home apartment
    husband spouse
    ingredient flour sugar salt butter egg water
    insect ant bee beetle spider mosquito butterfly bug fly cricket
    internet online web website
    jewelry necklace ring bracelet earring
    jogging running jog run
    kid child toddler baby infant teenager son daughter girl boy youngster
    law legal legislation illegal
    lawyer attorney
    machine computer robot engine
    mammal dog cat horse cow whale bear human
    meal breakfast lunch dinner dish
    meat beef pork chicken lamb turkey ham bacon sausage steak meatball fish
    medication medicine drug pill
    medicine medication drug pill
    memory remember
    mom mother parent mum
    money cash dollar budget fund cost price
    motorbike motorcycle
    movie film
    music song band concert album
    neighborhood community area
    noise noisy sound loud
    noodle pasta spaghetti
    novel book
    nut almond peanut cashew walnut pecan pistachio
    nutrient nutrition nutritious nutritional vitamin mineral
    nutrition nutrient nutritious nutritional
    ocean sea
    oil olive
    pain ache hurt
    painting art
    pasta spaghetti lasagna noodle macaroni
    pet dog cat hamster puppy kitten rabbit
    phone smartphone telephone cellphone iphone mobile
    photo picture photograph image
    pill tablet medication medicine
    plant tree flower shrub vegetable herb grass fern
    player athlete
    police cop officer
    politics political politician
    pork ham bacon sausage meat
    price cost dollar expense
    rain rainfall shower
    reader audience
    relationship marriage friendship partner
    religion religious
    researcher scientist
    restaurant cafe diner
    reward prize
    risk danger
    rule regulation law
    safety safe
    school college university
    science scientific
    scientist researcher
    sea ocean
    seasoning spice salt pepper
    shoe boot sneaker sandal slipper
    sibling brother sister
    sleep asleep nap
    snack chip cracker popcorn cookie candy nut
    sofa couch
    song music
    soup stew broth
    spice cayenne seasoning
    spice cumin cinnamon paprika ginger turmeric pepper salt coriander cardamom nutmeg clove garlic
    spouse husband wife
    stove oven cooktop
    stress stressed
    sweat perspiration
    tax taxation
    technology tech
    television tv
    tool hammer knife screwdriver drill shovel
    topping sauce cheese
    tourist visitor traveler
    toy doll puzzle lego
    trash garbage waste
    tree oak pine maple
    university college school
    vacation holiday trip
    vegetable tomato bean pea kale zucchini asparagus cauliflower mushroom salad pumpkin corn squash
    vegetable turnip
    vegetable veggie carrot potato onion broccoli spinach cabbage lettuce celery pepper cucumber
    veggie pea
    veggie vegetable carrot potato onion broccoli spinach cabbage lettuce celery pepper tomato bean
    vehicle car truck bus van motorcycle bike train
    vet veterinarian
    viewer audience
    visitor tourist
    water h2o
    weather rain snow sun storm
    website site webpage
    wedding marriage marry
    wife spouse
    wind breeze
    woman girl lady female wife mother
    workout exercise training
    writer author
"""


class Thing(NamedTuple):
    """What is named, and how texts speak of it.

    Attributes:
        shown: as an instruction names it: "butter", "carrots", "the heart".
        forms: the words for it, one and several.
        start: what their kin begin with, as "pricing" with that of "price"; empty if that is too
            short to tell.
        alike: words for what some take for the same.
    """

    shown: str
    forms: frozenset[str]
    start: str
    alike: frozenset[str]


def _several(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("y") and word[-2:-1] not in "aeou":
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "x", "z", "ch", "sh")) else f"{word}s"


def _all_alike() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for line in _ALIKE.strip().splitlines():
        first, *others = line.split()
        both = {*others, *map(_several, others)}
        found[first] = found.get(first, frozenset()) | both
    return found


def _thing(word: str, alike: frozenset[str]) -> Thing:
    several = _several(word)
    shown = several if word in _COUNTED else f"the {word}" if word in _THE else word
    return Thing(shown, frozenset((word, several)), _start(word), alike)


def _start(word: str) -> str:
    if len(word) < 4:
        return ""
    return word[:-1] if word[-1] in "ey" and len(word) > 4 else word


_KNOWN_ALIKE = _all_alike()
_THINGS = tuple(
    _thing(word, _KNOWN_ALIKE.get(word, frozenset()))
    for word in sorted(_WITHOUT_ARTICLE | _THE | _COUNTED)
)
OF_WORD: Mapping[str, Thing] = {
    form: thing for thing in _THINGS for form in thing.forms if len(form) > 2
}
"""Word -> the thing that it names."""
_OF_SHOWN = {thing.shown: thing for thing in _THINGS}


@lru_cache(maxsize=4096)
def named(text: str) -> Thing | None:
    """What an instruction names so, if it is one of these things."""
    return _OF_SHOWN.get(text.lower())


# What is asked for as a word: it has kinds, which another reader takes for the same.
_ALSO_WORDS = """
    ability access accident activity advantage adventure advertisement ancestor animal appearance
    appliance application appointment argument arrangement article artist assistance atmosphere
    attraction audience background backup bakery balance beauty behavior belief benefit body
    business campaign capacity category celebration century challenge chapter character charity
    chemical citizen civilization client climate clothing collection color comfort community company
    competition complaint component compromise concern conclusion conflict connection consequence
    container contest context contract contrast conversation courage crew criticism crop crowd
    culture currency damage danger data decade decision decoration delivery description destination
    detail development device difficulty dimension direction disability disadvantage disaster
    disease disorder distance diversity document economy effect efficiency effort element emotion
    employer entertainment entrance environment equipment era event evidence exercise exhibit exit
    expense experience expert expertise explanation explosion exposure expression failure faith fame
    fan fantasy fashion fate feature feeling fiction flavor flight food foundation freedom fruit
    fuel function furniture gathering gender generation genre gesture gossip government grade
    grocery guest guidance guideline habitat harmony herb heritage hierarchy household hypothesis
    identity illness illusion image imagination impact impression improvement incident industry
    ingredient initiative injury innocence innovation inspection inspiration institution instruction
    instructor instrument intention interaction invention isolation journey justice kindness
    knowledge labor landmark landscape layer leader leadership legend lesson liberty lifestyle
    limitation literature location luck luxury machine mammal management manager mankind material
    meal meaning media member membership memory method military mineral minority mission mistake
    mixture money mood movement mystery myth narrative nation nature negotiation nerve network
    nutrient object obstacle occupation operation opinion opportunity option organ organism
    organization origin outcome outfit outline ownership package panic passion perception
    performance permission personality perspective phenomenon plant platform pleasure policy
    popularity population portion possession precaution prediction preference presence presentation
    pressure principle priority procedure product production professional property proportion
    proposal protection provider purchase pursuit quality quantity ratio reader reality recipe
    recipient recommendation recovery reference region regulation relationship relative reliability
    relief reminder repair repetition replacement representative reputation requirement resident
    resolution resource response responsibility reward ritual rival role routine rumor sample scale
    scandal scenario scene scholar sector security selection sensation sequence setting shape skill
    slice society soul spice spirit stability status storage stranger strategy strength structure
    struggle style substance suburb success suffering suggestion supplier surface survey survival
    suspect suspicion tale talent target task taste team tendency tension territory threat tip
    tissue title tolerance tool topic topping tradition tragedy trait transition trend trick truth
    tumor user vacancy variation vegetable vehicle venue version victim victory view viewer
    viewpoint violation vision wage weakness weapon wisdom worker workplace workshop youth zone
"""
IN_QUOTES = frozenset(form for word in _ALSO_WORDS.split() for form in (word, _several(word)))
"""Words, beside those for things, that people tell an answer to use."""
